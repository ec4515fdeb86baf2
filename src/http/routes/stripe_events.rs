//! `/payments/webhooks/stripe`: events of Stripe. An event is a hint: the gateway is asked about the payment, and only
//! its answer settles anything.

use super::Api;
use crate::booking::PaymentHints;
use crate::engine::Error;
use crate::gateway::stripe::{News, SIGNATURE, Webhooks};
use crate::http::wire::json::RawBody;
use crate::http::wire::problem::{Code, Problem};
use crate::payments::news::GatewayNews;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// What the endpoint works with.
#[derive(Clone)]
pub struct StripeWebhooks {
    /// Checks signatures.
    pub signed: Webhooks,
    /// Told which payment changed.
    pub hints: PaymentHints,
    /// Told which refund or dispute changed.
    pub news: GatewayNews,
}

/// Takes an event of Stripe.
///
/// There only with `PAYMENT_GATEWAY=stripe` and `STRIPE_WEBHOOK_SECRETS`. Needs no token: the event is signed. Makes
/// the service ask Stripe about the payment, refund or dispute; an event about nothing of the service is taken too.
#[utoipa::path(
    post, path = "/payments/webhooks/stripe", operation_id = "takeStripeEvent", tag = "operations",
    params(("Stripe-Signature" = String, Header, description = "Time and signatures of the body")),
    request_body(content = inline(serde_json::Value), description = "An event of Stripe"),
    responses(
        (status = 204, description = "taken"),
        (status = 400, description = "malformed_request: the signature or the event is malformed, forged or stale"),
        (status = 408),
        (status = 413),
        (status = 503, description = "unavailable: send it again later"),
    )
)]
pub(crate) async fn take(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<StatusCode, Problem> {
    let missing = || Problem::new(Code::NotFound, "there is nothing at this path");
    let stripe = api.stripe.as_ref().ok_or_else(missing)?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let news = stripe.signed.news_of(signature, &body).map_err(|refused| {
        Problem::new(Code::MalformedRequest, refused.to_string())
            .refusing("its webhook is not accepted")
    })?;
    // After the signature: forged events use up nothing.
    api.event_limit.count()?;
    match news {
        Some(News::Payment(payment)) => {
            stripe.hints.ask_again(payment).await.map_err(Error::from)?;
        }
        Some(News::Refund(refund)) => stripe.news.about_refund(refund).await?,
        Some(News::Dispute(intent)) => stripe.news.about_dispute(&intent).await?,
        None => {}
    }
    Ok(StatusCode::NO_CONTENT)
}
