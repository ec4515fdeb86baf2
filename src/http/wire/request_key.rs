//! `Idempotency-Key`: a caller's own name for a request, bare or as the quoted string (RFC 8941)
//! that draft-ietf-httpapi-idempotency-key-header wants.

use crate::domain::{Invalid, UserId};
use crate::identity::Caller;
use crate::rules::{IdempotencyKey, RequestKey};
use http::HeaderMap;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters of a key at most.
const CHARS_MAX: usize = 255;

/// The key of a request with this content, if it has one; an unsound one is noted.
pub(crate) fn of(
    headers: &HeaderMap,
    content: &impl Serialize,
    invalid: &mut Invalid,
) -> Option<IdempotencyKey> {
    let sent = headers.get("idempotency-key")?;
    let key = sent.to_str().ok().and_then(read);
    if key.is_none() {
        let rule = "must be 1 to 255 visible ASCII characters, or a quoted string of as many";
        invalid.add("/headers/Idempotency-Key", rule);
    }
    Some(IdempotencyKey { key: key?.into(), request_hash: fingerprint(content).into() })
}

/// The key of a request to a route whose body names no user.
pub(crate) fn of_caller(
    route: &'static str,
    caller: &Caller,
    headers: &HeaderMap,
    content: &impl Serialize,
) -> Result<Option<RequestKey>, Invalid> {
    let mut invalid = Invalid::default();
    let key = of(headers, content, &mut invalid);
    let owner = match caller {
        Caller::Known { user, .. } => *user,
        Caller::Anyone => UserId(0),
    };
    invalid.or(key.map(|key| RequestKey { route, owner, key }))
}

/// The name that a header's value gives: `k1` and `"k1"` are the same.
fn read(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim_matches([' ', '\t']);
    let Some(quoted) = value.strip_prefix('"') else {
        let is_bare = value.bytes().all(|b| b.is_ascii_graphic());
        return is_sound(value, is_bare).then_some(Cow::Borrowed(value));
    };
    let (key, rest) = unquoted(quoted)?;
    // Parameters of the item say nothing about its value.
    let is_whole = rest.is_empty() || rest.trim_start_matches(' ').starts_with(';');
    is_sound(&key, is_whole).then_some(Cow::Owned(key))
}

fn is_sound(key: &str, has_form: bool) -> bool {
    has_form && (1..=CHARS_MAX).contains(&key.len())
}

/// A string without its opening quote: its content, and what stands behind the closing quote.
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

/// SHA-256 of what is asked, however it was written, in hexadecimal.
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
    fn a_quoted_key_names_what_the_bare_one_names() {
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
    fn a_key_without_form_or_bounds_is_refused() {
        let long = "x".repeat(256);
        let quoted = format!("\"{long}\"");
        let unsound = ["", "\"", "\"\"", "\"k1", "\"k1\"x", r#""a\b""#, "a b", "\"a\tb\"", "é"];
        for value in unsound.into_iter().chain([&*long, &*quoted]) {
            assert_eq!(read(value), None, "{value}");
        }
        assert!(read(&quoted.replacen('x', "", 1)).is_some());
    }
}
