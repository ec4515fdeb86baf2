//! The query of a URI: parameters read one by one, so that a refusal names each that is wrong.

use super::json::hints;
use super::problem::{Code, Problem};
use crate::domain::Invalid;
use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use std::borrow::Cow;

/// The parameters of a query; the first of each name counts. Borrows from the URI what is not encoded.
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Whether each `%` is followed by two hexadecimal digits, and the decoded bytes are UTF-8.
///
/// The form decoder keeps a stray `%` and replaces bytes that are not UTF-8, so a search would silently
/// look for another city.
fn is_percent_encoded(query: &str) -> bool {
    if !query.contains('%') {
        return true;
    }
    let mut pieces = query.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let Some((digits, rest)) = piece.split_at_checked(2) else { return false };
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    std::str::from_utf8(&bytes).is_ok()
}

/// A parameter's name and value, as a form encodes them; `None` between two `&`.
///
/// Most parameters have nothing to decode: the form decoder would look through each three times.
fn parameter(pair: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    if pair.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return form_urlencoded::parse(pair.as_bytes()).next();
    }
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (!pair.is_empty()).then_some((name.into(), value.into()))
}

/// Maximum unknown parameters that one problem names.
const NOTED_MAX: usize = 16;

impl<'a> Query<'a> {
    /// Reads the query of a URI; 400 unless it is percent-encoded UTF-8.
    pub(crate) fn of(uri: &'a Uri) -> Result<Self, Problem> {
        let query = uri.query().unwrap_or_default();
        if !is_percent_encoded(query) {
            let detail = "the query is not percent-encoded UTF-8";
            return Err(Problem::new(Code::MalformedRequest, detail));
        }
        Ok(Self(query.split('&').filter_map(parameter).collect()))
    }

    /// Notes the parameters that are not in `known`.
    pub(crate) fn only(&self, known: &[&str], unreadable: &mut Invalid) {
        let unknown = self.0.iter().filter(|(name, _)| !known.contains(&&**name));
        for (name, _) in unknown.take(NOTED_MAX) {
            let rule = hints::unknown("parameter", name, known.iter().copied());
            unreadable.add(hints::token(name), rule);
        }
    }

    /// Notes the parameters that are absent or blank.
    pub(crate) fn required(&self, names: &[&str], unreadable: &mut Invalid) {
        for name in names {
            if self.get(name).is_none_or(|value| value.trim().is_empty()) {
                unreadable.add(format!("/{name}"), "is required");
            }
        }
    }

    /// The value of a parameter; `None` if it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The parsed value of a parameter; notes the rule if it does not parse. An empty number does not.
    pub(crate) fn read<T: std::str::FromStr>(
        &self,
        name: &str,
        rule: &str,
        unreadable: &mut Invalid,
    ) -> Option<T> {
        let text = self.given(name)?;
        text.parse().map_err(|_| unreadable.add(format!("/{name}"), rule)).ok()
    }

    /// The same, where an empty value is none.
    pub(crate) fn read_text<T: std::str::FromStr>(
        &self,
        name: &str,
        rule: &str,
        unreadable: &mut Invalid,
    ) -> Option<T> {
        self.get(name)?;
        self.read(name, rule, unreadable)
    }

    /// The value of a parameter, also an empty one; `None` if it is absent.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Extractor of routes without parameters: 400 if the query has one.
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            let mut unreadable = Invalid::default();
            Query::of(&parts.uri)?.only(&[], &mut unreadable);
            readable(unreadable)?;
        }
        Ok(Self)
    }
}

/// 400 with what was noted, if anything was.
pub(crate) fn readable(unreadable: Invalid) -> Result<(), Problem> {
    unreadable.or(()).map_err(|unreadable| Problem::naming(Code::MalformedRequest, unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_must_be_percent_encoded_utf_8() {
        for sound in ["", "a=b", "a=%C3%A9&b=%25", "a=é"] {
            assert!(is_percent_encoded(sound), "{sound}");
        }
        for broken in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "a=%C3&b=%A9", "a=%4é"] {
            assert!(!is_percent_encoded(broken), "{broken}");
        }
    }

    #[test]
    fn parameters_are_read_as_the_form_decoder_reads_them() {
        for query in
            ["", "a=b&c=d", "a", "a=", "=b", "&&a=b&", "a=b=c", "a+b=%20c&d=é&e=%C3%A9", "="]
        {
            let uri = format!("/?{query}").parse().expect("a URI");
            let parsed: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            assert!(Query::of(&uri).is_ok_and(|read| read.0 == parsed), "{query}");
        }
    }
}
