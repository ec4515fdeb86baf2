//! Hints for unknown names: the known name that is most similar.

/// Minimum similarity (Jaro-Winkler) of a hint; 1 means equal.
const ALIKE: f64 = 0.8;

/// Maximum characters of an unknown name that are compared and sent back.
pub(crate) const NAME_CHARS_MAX: usize = 64;

/// The rule that an unknown name breaks, with the most similar known name.
pub(crate) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let name = folded(name);
    let nearest = known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&name, &folded(known)), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(alike, _)| *alike >= ALIKE);
    match nearest {
        Some((_, nearest)) => format!("is not a {what} here; did you mean \"{nearest}\"?"),
        None => format!("is not a {what} here"),
    }
}

/// A name without case and separators: `maxPrice` and `max_price` are equal.
fn folded(name: &str) -> String {
    let name = name.chars().take(NAME_CHARS_MAX).filter(|c| c.is_alphanumeric());
    name.flat_map(char::to_lowercase).collect()
}

/// A name as a token of a JSON pointer (RFC 6901), shortened to [`NAME_CHARS_MAX`].
pub(crate) fn token(name: &str) -> String {
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    let dots = if shown.len() < name.len() { "…" } else { "" };
    format!("/{}{dots}", shown.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_a_hint() {
        let known = ["source", "destination", "timestamp", "price", "max_price", "seats_booked"];
        for (name, nearest) in [
            ("prize", "price"),
            ("Source", "source"),
            ("maxPrice", "max_price"),
            ("max-price", "max_price"),
            ("desination", "destination"),
            ("seats", "seats_booked"),
        ] {
            let expected = format!("is not a field here; did you mean \"{nearest}\"?");
            assert_eq!(unknown("field", name, known), expected, "{name}");
        }
        for name in ["", "foo", "zzz", "\u{0}", "価格"] {
            assert_eq!(unknown("field", name, known), "is not a field here", "{name}");
        }
    }

    #[test]
    fn a_long_name_is_shortened() {
        assert_eq!(token("a/b~c"), "/a~1b~0c");
        assert_eq!(token(&"é".repeat(60_000)).chars().count(), 1 + NAME_CHARS_MAX + 1);
    }
}
