//! The JSON of a payment: the request to begin one.

use crate::domain::{BookingId, Invalid};
use crate::http::routes::Pages;
use crate::http::routes::party::method;
use crate::http::wire::host;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::rules::Pay;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// Maximum length of a `return_url`, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// A payment to begin.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"payment_method": "pm_card_visa"}))]
pub(crate) struct PayBody {
    /// The payment gateway's token of the payment method; `pm_card_visa` by default.
    #[schema(example = "pm_card_visa", max_length = 64)]
    payment_method: Option<String>,
    /// Where the payer's browser goes after a page of the gateway, such as 3-D Secure: a path of this service, or a
    /// URL on this origin or one of `RETURN_ORIGINS`.
    #[schema(max_length = 2048, example = "/")]
    return_url: Option<String>,
}

impl Shaped for PayBody {
    const SHAPE: Shape = Shape {
        fields: &[("payment_method", Kind::Text), ("return_url", Kind::Text)],
        ignored: &[],
    };
}

/// A body without fields.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

impl Shaped for Empty {
    const SHAPE: Shape = Shape { fields: &[], ignored: &[] };
}

/// What an idempotency key of the request stands for.
#[derive(Serialize)]
pub(in crate::http::routes) struct Asked<'a> {
    id: i64,
    method: &'a str,
    return_url: Option<&'a str>,
}

impl PayBody {
    /// The payment to begin. Notes broken rules.
    pub(in crate::http::routes) fn check(
        self,
        id: BookingId,
        pages: &Pages,
        headers: &HeaderMap,
        invalid: &mut Invalid,
    ) -> Pay {
        let method = method(invalid, self.payment_method.as_deref());
        let own = pages.public_url.clone().unwrap_or_else(|| host::origin(headers));
        let return_url = self.return_url.and_then(|url| {
            let whole = absolute(&url, &own, &pages.return_origins);
            if whole.is_none() {
                let rule = format!(
                    "must be a path, or a URL on {own} or one of RETURN_ORIGINS, of at most {URL_BYTES_MAX} bytes"
                );
                invalid.add("/return_url", rule);
            }
            whole
        });
        Pay { booking_id: id, method, return_url: return_url.map(Into::into), request: None }
    }
}

/// What a key of this payment stands for.
pub(in crate::http::routes) fn asked(pay: &Pay) -> Asked<'_> {
    Asked {
        id: pay.booking_id.0,
        method: pay.method.as_str(),
        return_url: pay.return_url.as_deref(),
    }
}

/// A URL on one of these origins; a path becomes one on the first. `None` for any other.
fn absolute(url: &str, own: &str, others: &[String]) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\\\"<>`{}|^".contains(c);
    if url.len() > URL_BYTES_MAX || !url.chars().all(is_plain) {
        return None;
    }
    if url.starts_with('/') && !url.starts_with("//") {
        return Some(format!("{own}{url}"));
    }
    let is_on = |origin: &str| {
        let rest = url.strip_prefix(origin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    };
    let mut origins = std::iter::once(own).chain(others.iter().map(String::as_str));
    origins.any(is_on).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payer_returns_only_to_known_origins() {
        let others = ["https://shop.example".to_owned()];
        let absolute = |url: &str| absolute(url, "http://localhost:8080", &others);
        for (url, whole) in [
            ("/", "http://localhost:8080/"),
            ("/trips?id=1#paid", "http://localhost:8080/trips?id=1#paid"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://shop.example/done", "https://shop.example/done"),
            ("https://shop.example?done", "https://shop.example?done"),
        ] {
            assert_eq!(absolute(url).as_deref(), Some(whole), "{url}");
        }
        let long = format!("/{}", "x".repeat(URL_BYTES_MAX));
        for url in [
            "",
            "//evil.example",
            "https://shop.example.evil.example/",
            "https://shop.example@evil.example",
            "https://shop.example:444/",
            "javascript:alert(1)",
            "http://shop.example/",
            "trips",
            "/a b",
            "/\\evil.example",
            "/\nx",
            "HTTPS://SHOP.EXAMPLE/",
            &long,
        ] {
            assert_eq!(absolute(url), None, "{url}");
        }
    }
}
