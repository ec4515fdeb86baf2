//! Flight numbers (the carrier's designator and a number) in their normal form.

use crate::domain::Invalid;

/// The normal form of a flight number: capitals, without blanks and hyphens, so `ai 101` and `AI-101`
/// are `AI101`. Leading zeros stay. Every input is stored and compared in this form.
pub fn flight_number(text: &str) -> String {
    let kept = text.chars().filter(|c| !c.is_whitespace() && !is_hyphen(*c));
    kept.map(|c| c.to_ascii_uppercase()).collect()
}

/// The number of a stored row, which may be older than the rule: normalised if the result is valid,
/// else as it is.
pub fn stored_flight_number(text: String) -> String {
    if text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        return text;
    }
    let kept = flight_number(&text);
    if is_sound(&kept) { kept } else { text }
}

/// Adds what is wrong with a normalised number.
pub(super) fn check_number(invalid: &mut Invalid, number: Option<&str>) {
    if number.is_some_and(|number| !is_sound(number)) {
        invalid.add(
            "/flight_number",
            "must be 1 to 20 letters and digits; blanks and hyphens do not count",
        );
    }
}

fn is_sound(number: &str) -> bool {
    (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Hyphens that keyboards and word processors produce.
const fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_in_capitals_without_blanks_and_hyphens() {
        for text in ["AI101", "ai101", "Ai 101", " AI-101 ", "a i\u{a0}1\u{2011}01"] {
            assert_eq!(flight_number(text), "AI101", "{text:?}");
        }
        assert_eq!(flight_number("ai 007"), "AI007");
        assert_eq!(flight_number(" - "), "");
    }

    #[test]
    fn a_stored_number_is_normalised_unless_the_result_is_invalid() {
        let read = |text: &str| stored_flight_number(text.to_owned());
        assert_eq!(read("AI101"), "AI101");
        assert_eq!(read("ai 101"), "AI101");
        for odd in ["", "-", "ai/101", "a number of more than twenty letters"] {
            assert_eq!(read(odd), odd);
        }
    }
}
