//! How a request says where its body ends. A proxy that reads it differently would take a part of the body
//! for the next request (request smuggling).

use crate::http::wire::problem::{Code, Problem};
use axum::body::HttpBody as _;
use axum::extract::Request;
use http::HeaderValue;
use http::header::TRANSFER_ENCODING;

/// Checks a request's `Transfer-Encoding`: only `chunked`, once and alone, is decoded. hyper refuses
/// encodings that do not end in `chunked`; a body that was encoded before it was cut into chunks would be read
/// encoded.
///
/// Only a request with a body costs a look at its headers.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let is_sound = codings.next().is_none_or(is_chunked) && codings.next().is_none();
    if is_sound {
        return Ok(());
    }
    let detail = "Transfer-Encoding must be chunked, once and alone";
    Err(Problem::new(Code::MalformedRequest, detail).refusing("its Transfer-Encoding is unknown"))
}

fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn is_refused(codings: &[&str]) -> bool {
        let request = codings
            .iter()
            .fold(Request::builder(), |request, coding| request.header(TRANSFER_ENCODING, *coding));
        check(&request.body(Body::from("{}")).expect("a request")).is_err()
    }

    #[test]
    fn chunked_is_the_only_transfer_encoding_allowed() {
        for sound in [&[][..], &["chunked"], &["Chunked"]] {
            assert!(!is_refused(sound), "{sound:?}");
        }
        for unsound in [
            &["gzip, chunked"][..],
            &["identity, chunked"],
            &["chunked, chunked"],
            &[", chunked"],
            &["chunked", "chunked"],
            &["identity", "chunked"],
            &[""],
        ] {
            assert!(is_refused(unsound), "{unsound:?}");
        }
    }
}
