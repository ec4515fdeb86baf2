//! `/sandbox/pay/{token}`: the page of the simulated gateway on which a payer approves or declines a payment, as at a
//! bank with 3-D Secure. There only while the simulated gateway takes the payments.

use super::Api;
use crate::booking::PaymentHints;
use crate::domain::PaymentReference;
use crate::gateway::sandbox::{Challenge, PAGE, Sandbox, Verdict};
use crate::http::wire::problem::{Code, Problem};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use tracing::warn;

/// The routes: the page of a payment, and its style.
pub(crate) const ROUTE: &str = "/sandbox/pay/{token}";
pub(crate) const STYLE_ROUTE: &str = "/sandbox/style.css";

/// Allows the page's style and its form, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
);

const STYLE: &str = include_str!("sandbox.css");

/// What the page works with.
#[derive(Clone)]
pub struct SandboxPage {
    /// Where payers act.
    pub payments: Arc<dyn Sandbox>,
    /// Told when a payer has acted.
    pub hints: PaymentHints,
}

/// Shows a payment and asks the payer, or says what they said.
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let (page, payment) = named(&api, &token)?;
    let found = page.payments.challenge(payment).await;
    Ok(shown(&found.map_err(away)?.ok_or_else(missing)?))
}

/// Takes the payer's word, and shows the page again. The gateway's outcome follows.
pub(crate) async fn act(
    State(api): State<Arc<Api>>,
    Path(token): Path<String>,
    form: Bytes,
) -> Result<Response, Problem> {
    let (page, payment) = named(&api, &token)?;
    let mut fields = form_urlencoded::parse(&form);
    let verdict = fields.find_map(|(name, value)| (name == "verdict").then_some(value));
    let verdict: Option<Verdict> = verdict.and_then(|word| word.parse().ok());
    let verdict = verdict.ok_or_else(|| {
        Problem::new(Code::MalformedRequest, "the form has no verdict: approved or declined")
    })?;
    page.payments.act(payment, verdict).await.map_err(away)?.ok_or_else(missing)?;
    if let Err(error) = page.hints.ask_again(payment).await {
        warn!(%error, "the gateway is not asked about a payment yet; the sweeper repeats the request");
    }
    let back = [(header::LOCATION, format!("{PAGE}{payment}"))];
    Ok((StatusCode::SEE_OTHER, back).into_response())
}

fn named<'a>(api: &'a Api, token: &str) -> Result<(&'a SandboxPage, PaymentReference), Problem> {
    let page = api.sandbox.as_ref().ok_or_else(missing)?;
    Ok((page, token.parse().map_err(|_| missing())?))
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path")
}

fn away(cause: crate::store::StoreError) -> Problem {
    crate::engine::Error::Store(cause).into()
}

fn shown(challenge: &Challenge) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, no_store)];
    (headers, Html(html(challenge))).into_response()
}

/// The style of the page.
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// The page. Only the return URL can contain characters that HTML escapes, and only `&`.
fn html(challenge: &Challenge) -> String {
    let Challenge { reference, amount, currency, method, verdict, .. } = challenge;
    let back = challenge.return_url.as_deref().map(|url| url.replace('&', "&amp;"));
    let (method, title) = (method.as_str(), "Test bank");
    let (refresh, body) = match verdict {
        None => (
            String::new(),
            format!(
                "<p>A shop asks you to pay with <code>{method}</code>. This is the page of a simulated gateway: no money \
                 moves.</p>\n<p class=\"amount\">{amount} {currency}</p>\n\
                 <form method=\"post\" action=\"{PAGE}{reference}\">\n\
                 <button name=\"verdict\" value=\"approved\">Approve</button>\n\
                 <button name=\"verdict\" value=\"declined\" class=\"quiet\">Decline</button>\n</form>\n"
            ),
        ),
        Some(verdict) => {
            let word: &str = verdict.into();
            let refresh = back.as_deref().map_or_else(String::new, |url| {
                format!("<meta http-equiv=\"refresh\" content=\"2;url={url}\">\n")
            });
            let link = back.as_deref().map_or_else(
                || "<p>You can close this page.</p>\n".to_owned(),
                |url| format!("<p><a href=\"{url}\">Back to the shop</a></p>\n"),
            );
            let said = format!(
                "<p role=\"status\">You have {word} the payment of {amount} {currency}.</p>\n"
            );
            (refresh, said + &link)
        }
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{refresh}\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"{STYLE_ROUTE}\">\n<main>\n<h1>{title}</h1>\n{body}</main>\n</html>\n"
    )
}
