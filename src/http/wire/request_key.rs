//! `Idempotency-Key`: bare, or as a quoted string (RFC 8941) as in
//! draft-ietf-httpapi-idempotency-key-header.

use crate::domain::{Invalid, UserId};
use crate::identity::Caller;
use crate::rules::{IdempotencyKey, RequestKey};
use http::HeaderMap;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Maximum length of a key, in characters.
const CHARS_MAX: usize = 255;

/// The key of a request with this content, if it has one. Notes a malformed key.
pub(crate) fn of(
    headers: &HeaderMap,
    content: &impl Serialize,
    invalid: &mut Invalid,
) -> Option<IdempotencyKey> {
    let sent = headers.get("idempotency-key")?;
    let key = sent.to_str().ok().and_then(read);
    if key.is_none() {
        let rule = "must be 1 to 255 visible ASCII characters, or a quoted string of that length";
        invalid.add("/headers/Idempotency-Key", rule);
    }
    Some(IdempotencyKey { key: key?.into(), request_hash: fingerprint(content).into() })
}

/// The key of a request without a user in its body; its scope is the caller. Notes a malformed key.
pub(crate) fn of_caller(
    route: &'static str,
    caller: &Caller,
    headers: &HeaderMap,
    content: &impl Serialize,
    invalid: &mut Invalid,
) -> Option<RequestKey> {
    let owner = match caller {
        Caller::Known { user, .. } => *user,
        Caller::Anyone | Caller::Anonymous => UserId(0),
    };
    of_user(route, owner, headers, content, invalid)
}

/// The key of a request about this user. Notes a malformed key.
pub(crate) fn of_user(
    route: &'static str,
    owner: UserId,
    headers: &HeaderMap,
    content: &impl Serialize,
    invalid: &mut Invalid,
) -> Option<RequestKey> {
    Some(RequestKey { route, owner, key: of(headers, content, invalid)? })
}

/// The key in a header's value; `k1` and `"k1"` are the same key.
fn read(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim_matches([' ', '\t']);
    let Some(quoted) = value.strip_prefix('"') else {
        let is_bare = value.bytes().all(|b| b.is_ascii_graphic());
        return is_valid(value, is_bare).then_some(Cow::Borrowed(value));
    };
    let (key, rest) = unquoted(quoted)?;
    // Parameters of the structured field are ignored.
    let is_whole = rest.is_empty() || rest.trim_start_matches(' ').starts_with(';');
    is_valid(&key, is_whole).then_some(Cow::Owned(key))
}

fn is_valid(key: &str, is_well_formed: bool) -> bool {
    is_well_formed && (1..=CHARS_MAX).contains(&key.len())
}

/// Reads a quoted string after its opening quote: its content, and the text behind the closing quote.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((content, characters.as_str())),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => content.push(escaped),
                _ => return None,
            },
            plain @ ' '..='~' => content.push(plain),
            _ => return None,
        }
    }
}

/// SHA-256 of the content of a request, in hexadecimal.
fn fingerprint(content: &impl Serialize) -> String {
    let json = super::to_json(content);
    let digest: [u8; 32] = Sha256::digest(&json).into();
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_key_equals_the_bare_one() {
        for (value, key) in [
            ("k1", "k1"),
            (" k1 ", "k1"),
            ("\"k1\"", "k1"),
            ("\"k1\";v=1", "k1"),
            ("\"order 7\"", "order 7"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("a\"b", "a\"b"),
        ] {
            assert_eq!(read(value).as_deref(), Some(key), "{value}");
        }
    }

    #[test]
    fn a_malformed_or_overlong_key_is_refused() {
        let long = "x".repeat(256);
        let quoted = format!("\"{long}\"");
        let malformed = ["", "\"", "\"\"", "\"k1", "\"k1\"x", r#""a\b""#, "a b", "\"a\tb\"", "é"];
        for value in malformed.into_iter().chain([&*long, &*quoted]) {
            assert_eq!(read(value), None, "{value}");
        }
        assert!(read(&quoted.replacen('x', "", 1)).is_some());
    }
}
