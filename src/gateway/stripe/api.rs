//! Calls of Stripe's API.

use super::wire::{ErrorBody, Problem};
use crate::gateway::GatewayError;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;
use uuid::Uuid;

/// The version of the API whose shapes [`super::wire`] has, whatever the account's own version is.
pub const API_VERSION: &str = "2026-08-26.dahlia";

/// Maximum size of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Maximum time to connect. The whole call is bounded by `GATEWAY_TIMEOUT`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The fields of a form.
pub(super) type Form<'a> = &'a [(&'a str, &'a str)];

/// The client of one account.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// Stripe refused the call, and did nothing but record an attempt that failed.
    Refused(StatusCode, Problem),
    /// Whether the call took effect is unknown: there was no answer, or a server error, which Stripe keeps under
    /// the call's key.
    Unknown(String),
    /// Nothing happened, and the same call may succeed later: too many calls, or one under the same key still runs.
    Later(StatusCode),
}

impl From<Fault> for GatewayError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unknown(text) => Self::Unanswered(text),
            Fault::Later(status) => {
                Self::Unanswered(format!("Stripe wants the call later ({status})"))
            }
            Fault::Refused(status, problem) => {
                let reason = problem.reason().unwrap_or("without a code");
                let text = format!("{status}, {} ({reason})", problem.kind);
                // With a key that it does not take, Stripe answers no call.
                let is_of_key = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
                if is_of_key { Self::Unanswered(text) } else { Self::Refused(text) }
            }
        }
    }
}

impl Api {
    pub(super) fn new(base: &str, secret_key: &str) -> Result<Self, GatewayError> {
        crate::tls::provide();
        let mut key = HeaderValue::try_from(format!("Bearer {secret_key}")).map_err(|_| {
            GatewayError::Unanswered("STRIPE_SECRET_KEY must be printable ASCII".into())
        })?;
        key.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(AUTHORIZATION, key)]);
        headers.insert("stripe-version", HeaderValue::from_static(API_VERSION));
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .default_headers(headers)
            .build()
            .map_err(|error| GatewayError::Unanswered(error.to_string()))?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Form<'_>,
    ) -> Result<T, Fault> {
        let query = if query.is_empty() { String::new() } else { format!("?{}", encoded(query)) };
        self.send(self.client.get(format!("{}{path}{query}", self.base))).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: Form<'_>,
        key: &str,
    ) -> Result<T, Fault> {
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .header("idempotency-key", key)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(form));
        self.send(request).await
    }

    /// Like [`Api::post`], for a call that cannot pay twice: after a server error, which its key would repeat, it
    /// goes out once more under a fresh key.
    pub(super) async fn post_repeatable<T: DeserializeOwned>(
        &self,
        path: &str,
        form: Form<'_>,
        key: &str,
    ) -> Result<T, Fault> {
        match self.post(path, form, key).await {
            Err(Fault::Unknown(_)) => {
                let fresh = format!("{key}:{}", Uuid::new_v4().simple());
                self.post(path, form, &fresh).await
            }
            answer => answer,
        }
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Fault> {
        let lost = |error: reqwest::Error| Fault::Unknown(error.without_url().to_string());
        let mut answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Fault::Unknown("Stripe's answer is longer than 1 MiB".into()));
            }
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                Fault::Unknown(format!("Stripe's answer is unreadable: {error}"))
            });
        }
        Err(fault_of(status, &body))
    }
}

fn fault_of(status: StatusCode, body: &[u8]) -> Fault {
    match status {
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => Fault::Later(status),
        status if status.is_client_error() => {
            let body: Result<ErrorBody, _> = serde_json::from_slice(body);
            Fault::Refused(status, body.map(|body| body.error).unwrap_or_default())
        }
        status => Fault::Unknown(format!("Stripe failed: {status}")),
    }
}

fn encoded(form: Form<'_>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_its_codes_and_not_its_message() {
        let body = br#"{"error":{"type":"card_error","code":"card_declined",
            "decline_code":"insufficient_funds","message":"of Asha Rao"}}"#;
        let error = GatewayError::from(fault_of(StatusCode::PAYMENT_REQUIRED, body));
        let GatewayError::Refused(text) = error else { panic!("{error}") };
        assert_eq!(text, "402 Payment Required, card_error (insufficient_funds)");
    }

    #[test]
    fn a_key_that_is_not_taken_is_no_refusal_of_one_call() {
        for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            let error = GatewayError::from(fault_of(status, b"{}"));
            assert!(matches!(error, GatewayError::Unanswered(_)), "{status}");
        }
    }

    #[test]
    fn a_lock_and_a_limit_are_no_refusal() {
        for status in [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS] {
            assert!(matches!(fault_of(status, b"{}"), Fault::Later(_)), "{status}");
        }
        assert!(matches!(fault_of(StatusCode::BAD_GATEWAY, b"<html>"), Fault::Unknown(_)));
        assert!(matches!(fault_of(StatusCode::BAD_REQUEST, b"<html>"), Fault::Refused(..)));
    }
}
