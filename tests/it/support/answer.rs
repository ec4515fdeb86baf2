//! A response, read to its end.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

/// A response, read; `json` is null where the body is not JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    pub async fn read(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { status: head.status, headers: head.headers, text, json }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The booking's number, of a 201.
    pub fn booking_id(&self) -> i64 {
        assert_eq!(self.status, 201, "{self:?}");
        self.json["booking_id"].as_i64().expect("an id")
    }

    /// Asserts a problem of this status and code, as RFC 9457 wants it.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.json["code"], code, "{self:?}");
        assert_eq!(self.json["status"], status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
    }

    /// The pointers of a validation problem's errors.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().expect("errors");
        errors.iter().map(|error| error["pointer"].as_str().expect("a pointer")).collect()
    }
}
