//! Checks of fields. Broken rules are collected, so that one problem names them all.

use super::shape::{Kind, Sent, Shape, Shaped};
use crate::domain::{Invalid, Passenger, PassengerPatch, Timestamp};
use serde::Deserialize;

/// Returns the value, or notes that `/name` is required.
pub(crate) fn required<T>(invalid: &mut Invalid, name: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        note_missing(invalid, format!("/{name}"));
    }
    value
}

/// Notes a field as missing, unless it is noted already: it was sent with a wrong type.
pub(crate) fn note_missing(invalid: &mut Invalid, pointer: String) {
    if invalid.0.iter().all(|noted| noted.pointer != pointer) {
        invalid.add(pointer, "is required");
    }
}

/// Reads a date and time with an offset (RFC 3339).
pub(crate) fn instant(invalid: &mut Invalid, name: &str, text: &str) -> Option<Timestamp> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text).ok();
    let Some(instant) = parsed.map(|instant| instant.to_utc()) else {
        invalid.add(format!("/{name}"), "must be a date and time as in 2025-01-20T10:00:00Z");
        return None;
    };
    // The stores keep microseconds.
    Timestamp::from_timestamp_micros(instant.timestamp_micros())
}

/// A passenger.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PassengerBody {
    /// Full name, 1 to 100 characters.
    #[schema(required, nullable = false, example = "John Doe", min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Where tickets go.
    #[schema(required, nullable = false, example = "john@example.com", max_length = 254)]
    email: Option<String>,
    /// Digits, with an optional plus, spaces, hyphens, dots and brackets.
    #[schema(required, nullable = false, example = "1234567890", min_length = 3, max_length = 32)]
    phone: Option<String>,
    /// Years.
    #[schema(required, nullable = false, example = 30, minimum = 0, maximum = 130)]
    age: Option<i32>,
    /// As the passenger states it, 1 to 20 characters.
    #[schema(required, nullable = false, example = "male", min_length = 1, max_length = 20)]
    gender: Option<String>,
}

impl PassengerBody {
    pub(crate) const SHAPE: Shape = Shape {
        fields: &[
            ("name", Kind::Text),
            ("email", Kind::Text),
            ("phone", Kind::Text),
            ("age", Kind::Integer32),
            ("gender", Kind::Text),
        ],
        ignored: &[],
    };

    /// The passenger; `None` if a field breaks its rule. `at` is its pointer in the body.
    pub(crate) fn check(self, invalid: &mut Invalid, at: &str) -> Option<Passenger> {
        let before = invalid.0.len();
        let mut text = |name: &str, value: Option<String>, sound: fn(&str) -> bool, rule: &str| {
            match value {
                None => note_missing(invalid, format!("{at}/{name}")),
                Some(value) if !sound(&value) => invalid.add(format!("{at}/{name}"), rule),
                Some(value) => return value,
            }
            String::new()
        };
        let passenger = Passenger {
            status: None,
            name: text("name", self.name, is_name, NAME_RULE),
            email: text("email", self.email, is_email, EMAIL_RULE),
            phone: text("phone", self.phone, is_phone, PHONE_RULE),
            gender: text(
                "gender",
                self.gender,
                is_gender,
                "must be 1 to 20 characters, without control and invisible characters",
            ),
            age: self.age.unwrap_or_default(),
        };
        match self.age {
            None => note_missing(invalid, format!("{at}/age")),
            Some(0..=130) => {}
            Some(_) => invalid.add(format!("{at}/age"), "must be 0 to 130"),
        }
        (invalid.0.len() == before).then_some(passenger)
    }
}

/// The fields of a passenger to correct; absent ones keep their values.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "john.doe@example.com"}))]
pub(crate) struct PassengerPatchBody {
    /// Full name, 1 to 100 characters.
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100)]
    #[serde(default)]
    name: Sent<String>,
    /// Where tickets go.
    #[schema(value_type = String, required = false, max_length = 254)]
    #[serde(default)]
    email: Sent<String>,
    /// Digits, with an optional plus, spaces, hyphens, dots and brackets.
    #[schema(value_type = String, required = false, min_length = 3, max_length = 32)]
    #[serde(default)]
    phone: Sent<String>,
}

impl Shaped for PassengerPatchBody {
    const SHAPE: Shape = Shape {
        fields: &[("name", Kind::Text), ("email", Kind::Text), ("phone", Kind::Text)],
        ignored: &[],
    };
}

impl PassengerPatchBody {
    /// The correction, by the rules of a new passenger. Notes the rules that it breaks, and that it is empty.
    pub(crate) fn check(self, invalid: &mut Invalid) -> PassengerPatch {
        let is_empty = [&self.name, &self.email, &self.phone].map(|sent| *sent == Sent::Absent);
        if is_empty == [true; 3] && invalid.0.is_empty() {
            invalid.add("", "must have name, email or phone");
        }
        let mut text = |name: &str, sent: Sent<String>, sound: fn(&str) -> bool, rule: &str| {
            let value = match sent {
                Sent::Absent => return None,
                Sent::Null => None,
                Sent::Value(value) => Some(value).filter(|value| sound(value)),
            };
            if value.is_none() {
                invalid.add(format!("/{name}"), rule);
            }
            value.map(Into::into)
        };
        PassengerPatch {
            name: text("name", self.name, is_name, NAME_RULE),
            email: text("email", self.email, is_email, EMAIL_RULE),
            phone: text("phone", self.phone, is_phone, PHONE_RULE),
        }
    }
}

/// The rules of a passenger's fields.
const NAME_RULE: &str = "must be 1 to 100 characters, without control and invisible characters";
const EMAIL_RULE: &str = "must be an e-mail address";
const PHONE_RULE: &str = "must be 3 to 32 characters: digits, spaces and +-().";

fn is_text(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= chars_max && !text.chars().any(is_invisible)
}

/// Whether a character is invisible or changes the direction of text, so that different names would look
/// the same. Joiners and marks, which Persian, Indic and Hebrew names need, are allowed.
fn is_invisible(character: char) -> bool {
    let is_format = |c| {
        matches!(c, '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    character.is_control() || is_format(character)
}

fn is_name(text: &str) -> bool {
    is_text(text, 100)
}

fn is_gender(text: &str) -> bool {
    is_text(text, 20)
}

/// Whether it is a mailbox of RFC 5321, without quotes and in any script (RFC 6531).
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_foreign = |c: char| !c.is_ascii() && !c.is_whitespace() && !is_invisible(c);
    let is_atom =
        |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_foreign(c);
    let is_local = local.len() <= 64
        && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    let is_of_a_label = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c) || is_foreign(c);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(is_of_a_label)
    };
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = |literal: &str| {
        literal.strip_prefix("IPv6:").unwrap_or(literal).parse::<std::net::IpAddr>().is_ok()
    };
    let is_domain = literal.map_or_else(|| domain.split('.').all(is_label), is_address);
    text.len() <= 254 && is_local && is_domain
}

fn is_phone(text: &str) -> bool {
    (3..=32).contains(&text.len())
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-(). ".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_is_a_mailbox_without_quotes() {
        for sound in [
            "john@example.com",
            "first.last+tag@sub.example.co.in",
            "o'brien@example.ie",
            "user@localhost",
            "पता@उदाहरण.भारत",
            "x@xn--bcher-kva.example",
            "ops@[192.0.2.1]",
            "ops@[IPv6:2001:db8::1]",
        ] {
            assert!(is_email(sound), "{sound}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for unsound in [
            "",
            "john",
            "@example.com",
            "john@",
            "<john@example.com>",
            "john;jane@example.com",
            "john,jane@example.com",
            "john..doe@example.com",
            ".john@example.com",
            "john@example..com",
            "john@-example.com",
            "john@example.com>",
            "john doe@example.com",
            "john@example.com\u{200b}",
            "john\u{202e}@example.com",
            "a@b@c",
            "john@[localhost]",
            &long,
        ] {
            assert!(!is_email(unsound), "{unsound}");
        }
    }

    #[test]
    fn a_name_has_no_invisible_characters() {
        for sound in ["John Doe", "علی‌رضا", "ക്‍ഷ", "Łukasz O'Neil-Đỗ", "李小龍", "Dr. X"]
        {
            assert!(is_name(sound), "{sound}");
        }
        for unsound in [
            "John\u{202e}eoD",
            "Jo\u{200b}hn",
            "John\u{2028}Doe",
            "\u{feff}John",
            "John\u{2066}",
            "a\u{7f}",
        ] {
            assert!(!is_name(unsound), "{unsound:?}");
        }
    }
}
