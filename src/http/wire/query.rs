//! Queries: parameters as texts, each that is unknown or can't be read refused by name.

use super::json::hints;
use super::problem::{Code, Problem};
use crate::domain::Invalid;
use axum::extract::FromRequestParts;
use http::request::Parts;

/// The query's parameters, as texts; the first of each name counts.
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if !is_percent_encoded(query) {
            let detail = "the query is not percent-encoded UTF-8";
            return Err(Problem::new(Code::MalformedRequest, detail));
        }
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// Whether each `%` is followed by two hexadecimal digits and the bytes are UTF-8.
///
/// The form decoder lets the former stand and replaces the latter: a search would silently be for
/// another place.
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

/// Unknown parameters that one answer names at most.
const NOTED_MAX: usize = 16;

impl Query {
    /// Notes the parameters that are none of the known.
    pub(crate) fn only(&self, known: &[&str], unreadable: &mut Invalid) {
        let unknown = self.0.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        for (name, _) in unknown.take(NOTED_MAX) {
            let rule = hints::unknown("parameter", name, known.iter().copied());
            unreadable.add(hints::token(name), rule);
        }
    }

    /// A parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter read as something; unreadable is noted by name, with its rule.
    pub(crate) fn read<T: std::str::FromStr>(
        &self,
        name: &str,
        rule: &str,
        unreadable: &mut Invalid,
    ) -> Option<T> {
        let text = self.get(name)?;
        text.parse().map_err(|_| unreadable.add(format!("/{name}"), rule)).ok()
    }
}

/// A request that takes no parameters.
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            let mut unreadable = Invalid::default();
            Query::from_request_parts(parts, state).await?.only(&[], &mut unreadable);
            readable(unreadable)?;
        }
        Ok(Self)
    }
}

/// A 400 that names what in the query cannot be read, if anything was noted.
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
}
