//! Checking a body's fields: all that are wrong are named in one answer.

use super::shape::{Kind, Shape};
use crate::domain::{Invalid, Passenger, Timestamp};
use serde::Deserialize;

/// Notes `/name` as missing, or gives its value.
pub(super) fn required<T>(invalid: &mut Invalid, name: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        note_missing(invalid, format!("/{name}"));
    }
    value
}

/// Notes a field as missing, unless it is there with a wrong type, which has been noted.
fn note_missing(invalid: &mut Invalid, pointer: String) {
    if invalid.0.iter().all(|noted| noted.pointer != pointer) {
        invalid.add(pointer, "is required");
    }
}

/// Reads an instant with its offset, as RFC 3339 writes it.
pub(super) fn instant(invalid: &mut Invalid, name: &str, text: &str) -> Option<Timestamp> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text).ok();
    let Some(instant) = parsed.map(|instant| instant.to_utc()) else {
        invalid.add(format!("/{name}"), "must be a date and time as in 2025-01-20T10:00:00Z");
        return None;
    };
    // Kept to the microsecond, as the stores do.
    Timestamp::from_timestamp_micros(instant.timestamp_micros())
}

/// A passenger as it is sent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PassengerBody {
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
    /// What a passenger may hold.
    pub(super) const SHAPE: Shape = Shape {
        fields: &[
            ("name", Kind::Text),
            ("email", Kind::Text),
            ("phone", Kind::Text),
            ("age", Kind::Integer32),
            ("gender", Kind::Text),
        ],
        ignored: &[],
    };

    /// The passenger, if every field keeps its rule; `at` is its place in the body.
    pub(super) fn check(self, invalid: &mut Invalid, at: &str) -> Option<Passenger> {
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
            name: text("name", self.name, is_name, "must be 1 to 100 characters, none a control"),
            email: text("email", self.email, is_email, "must be an e-mail address"),
            phone: text("phone", self.phone, is_phone, "must be 3 to 32 digits, +-(). and spaces"),
            gender: text(
                "gender",
                self.gender,
                is_gender,
                "must be 1 to 20 characters, none a control",
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

fn is_text(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    is_text(text, 100)
}

fn is_gender(text: &str) -> bool {
    is_text(text, 20)
}

/// The shape that RFC 5321 gives, not its whole grammar: whether mail arrives, only mail tells.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
    };
    text.len() <= 254 && is_plain(local) && is_plain(domain)
}

fn is_phone(text: &str) -> bool {
    (3..=32).contains(&text.len())
        && text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-(). ".contains(&b))
}
