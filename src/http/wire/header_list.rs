//! Headers with a list of elements, over several lines, with commas inside quotes.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName};

/// The elements of a header, of all its lines, trimmed. Empty elements are skipped (RFC 9110, 5.6.1).
pub(crate) fn items<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    let items = lines.flat_map(|line| split(line, ',', Escapes::None));
    items.map(|item| item.trim_matches([' ', '\t'])).filter(|item| !item.is_empty())
}

/// Whether `Accept` lists HTML, as browsers' does and that of other programs seldom.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    items(headers, &ACCEPT).any(|range| {
        let essence = range.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("text/html")
    })
}

/// What a backslash inside quotes means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// Itself, as in an entity tag.
    None,
    /// It escapes the next character, as in a quoted string.
    Backslash,
}

/// Splits a text at the separators outside quotes.
pub(crate) fn split(text: &str, separator: char, escapes: Escapes) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        is_escaped =
            character == '\\' && is_quoted && !was_escaped && escapes == Escapes::Backslash;
        is_quoted ^= character == '"' && !was_escaped;
        character == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::IF_NONE_MATCH;

    #[test]
    fn a_list_can_have_several_lines_and_commas_inside_quotes() {
        let mut headers = HeaderMap::new();
        for line in ["\"a,b\", W/\"c\" ,,", "", " * "] {
            headers.append(IF_NONE_MATCH, line.parse().expect(line));
        }
        let items: Vec<_> = items(&headers, &IF_NONE_MATCH).collect();
        assert_eq!(items, ["\"a,b\"", "W/\"c\"", "*"]);
        let parts = |text, escapes| split(text, ';', escapes).collect::<Vec<_>>();
        assert_eq!(parts(r#"a;"b;c";d"#, Escapes::None), ["a", r#""b;c""#, "d"]);
        assert_eq!(parts(r#"a;"b\";d"#, Escapes::None), ["a", r#""b\""#, "d"]);
        assert_eq!(parts(r#"a;"b\";c";d"#, Escapes::Backslash), ["a", r#""b\";c""#, "d"]);
    }
}
