//! Stripe's own `stripe-mock`, which knows the schema of the API, accepts each request that the adapter sends. It keeps
//! no state: it says nothing of the flow. `tests/stripe/run` starts it.

use crate::support::stripe::API_KEY;
use airline_booking::domain::{Money, PaymentMethod, PaymentReference, RefundId, Timestamp};
use airline_booking::gateway::stripe::{API_VERSION, StripeGateway};
use airline_booking::gateway::{Gateway, Opening};
use airline_booking::store::{GatewayName, GatewayNames, NamedPayment, StoreError};
use async_trait::async_trait;
use std::sync::Arc;

/// Names of which all are known, or none.
struct Names {
    is_known: bool,
}

#[async_trait]
impl GatewayNames for Names {
    async fn name_at_gateway(
        &self,
        _: PaymentReference,
        _: &'static str,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(Some(id.to_owned()))
    }

    async fn gateway_name(&self, _: PaymentReference) -> Result<Option<GatewayName>, StoreError> {
        let currency = "INR".parse().expect("a currency");
        Ok(self.is_known.then(|| GatewayName { id: "pi_1".into(), currency }))
    }

    async fn is_in_simulated_books(&self, _: PaymentReference) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn named(&self, _: &[PaymentReference]) -> Result<Vec<NamedPayment>, StoreError> {
        Ok(Vec::new())
    }

    async fn named_since(
        &self,
        _: &'static str,
        _: Timestamp,
        _: Option<PaymentReference>,
        _: usize,
    ) -> Result<Vec<NamedPayment>, StoreError> {
        Ok(Vec::new())
    }
}

fn base() -> String {
    std::env::var("TEST_STRIPE_MOCK").expect("TEST_STRIPE_MOCK is not set: run tests/stripe/run")
}

fn gateway(is_known: bool) -> StripeGateway {
    StripeGateway::new(&base(), API_KEY, Arc::new(Names { is_known })).expect("a gateway")
}

#[tokio::test]
#[ignore = "needs stripe-mock: tests/stripe/run"]
async fn stripe_mock_accepts_every_request_of_the_adapter() {
    let reference = PaymentReference::from_bits(7);
    for return_url in [None, Some("https://shop.example/paid".into())] {
        let opening = Opening {
            reference,
            amount: Money::from_minor(250_000),
            currency: "INR".parse().expect("a currency"),
            method: PaymentMethod::new("pm_card_visa").expect("a method"),
            return_url,
        };
        // Its intents are never captured, so this creates, confirms and cancels one.
        gateway(false).open(&opening).await.expect("accepted");
        gateway(true).open(&opening).await.expect("accepted");
    }
    let known = gateway(true);
    known.status(reference).await.expect("accepted");
    known.void(reference).await.expect("accepted");
    let refund = known.refund(RefundId::from_bits(1), reference, Money::from_minor(100));
    refund.await.expect("accepted");
}

#[tokio::test]
#[ignore = "needs stripe-mock: tests/stripe/run"]
async fn stripe_mock_accepts_the_next_page_and_refuses_what_stripe_does_not_know() {
    let client = crate::support::process::http_client();
    for (query, status) in [
        ("payment_intent=pi_1&limit=100&starting_after=re_1", 200),
        ("payment_intent=pi_1&page_size=100", 400),
    ] {
        let asked = client
            .get(format!("{}/v1/refunds?{query}", base()))
            .bearer_auth(API_KEY)
            .header("stripe-version", API_VERSION);
        assert_eq!(asked.send().await.expect("an answer").status(), status, "{query}");
    }
}
