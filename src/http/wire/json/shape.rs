//! The shapes of bodies, and how a body that does not deserialize is read.
//!
//! A valid body is read by serde alone. Any other is walked field by field: a field that is unknown, given
//! twice or of a wrong type is noted; a value in an unusual notation (`1.0` for an integer) is rewritten;
//! then serde reads the rest. So one problem names all fields that are wrong, and valid requests pay
//! nothing for it.

use super::number::{NoInteger, Number};
use super::{hints, not_json};
use crate::domain::{Invalid, Money};
use crate::http::wire::problem::Problem;
use serde::Deserialize;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum fields that one problem names.
pub(crate) const NOTED_MAX: usize = 64;

/// The type of a field.
pub(crate) enum Kind {
    Integer32,
    Integer64,
    Text,
    Money,
    /// A list of integers of 32 bits.
    Integers,
    /// A list of strings.
    Texts,
    List(&'static Shape),
}

/// The fields of an object.
pub(crate) struct Shape {
    /// Fields that a request sets.
    pub fields: &'static [(&'static str, Kind)],
    /// Fields of responses alone. They are ignored, so that a client can send back what it read.
    pub ignored: &'static [&'static str],
}

/// A body of a known shape. Its `Deserialize` must refuse unknown fields.
pub(crate) trait Shaped: DeserializeOwned {
    const SHAPE: Shape;
}

/// An optional field that may be `null`, which differs from absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Sent<T> {
    #[default]
    Absent,
    Null,
    Value(T),
}

impl<T> Sent<T> {
    /// The value; `None` for `null` too.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sent<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

/// Reads a JSON object. Notes the fields that can't be read, and leaves them out of the value.
pub(crate) fn read<T: Shaped>(text: &str) -> Result<(T, Invalid), Problem> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok((value, Invalid::default()));
    }
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let mut reading = Reading::default();
    reading.object(raw.get(), &T::SHAPE, "")?;
    let Reading { plain, invalid, is_whole } = reading;
    if !is_whole || invalid.0.len() >= NOTED_MAX {
        return Err(invalid.into());
    }
    match serde_json::from_str(&plain) {
        Ok(value) => Ok((value, invalid)),
        Err(error) => Err(Problem::internal(format!("a body's shape is not its type's: {error}"))),
    }
}

/// The state of walking a body.
struct Reading {
    /// The fields that can be read, as JSON that serde accepts.
    plain: String,
    invalid: Invalid,
    /// False after an element of a list that can't be read: leaving it out would shift the others.
    is_whole: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self { plain: String::new(), invalid: Invalid::default(), is_whole: true }
    }
}

impl Reading {
    fn note(&mut self, at: &str, name: &str, rule: impl Into<String>) {
        if self.invalid.0.len() < NOTED_MAX {
            self.invalid.add(format!("{at}{}", hints::token(name)), rule);
        }
    }

    fn object(&mut self, json: &str, shape: &Shape, at: &str) -> Result<(), Problem> {
        let entries: Entries = serde_json::from_str(json).map_err(|error| not_json(&error))?;
        let mut times = vec![0_usize; shape.fields.len()];
        self.plain.push('{');
        for (name, value) in entries.0 {
            let Some(position) = shape.fields.iter().position(|(known, _)| *known == name) else {
                if !shape.ignored.contains(&name.as_str()) {
                    let known = shape.fields.iter().map(|(known, _)| *known);
                    self.note(at, &name, hints::unknown("field", &name, known));
                }
                continue;
            };
            times[position] += 1;
            match times[position] {
                1 => self.field(&name, value.get(), &shape.fields[position].1, at)?,
                2 => self.note(at, &name, "is given more than once"),
                _ => {}
            }
        }
        self.plain.push('}');
        Ok(())
    }

    /// Writes a field in the notation of its type, or notes the rule that it breaks.
    fn field(&mut self, name: &str, json: &str, kind: &Kind, at: &str) -> Result<(), Problem> {
        let begin = self.plain.len();
        let comma = if self.plain.ends_with('{') { "" } else { "," };
        self.plain.extend([comma, "\"", name, "\":"]);
        let rule = match kind {
            _ if json == "null" => {
                self.plain.push_str(json);
                return Ok(());
            }
            Kind::Integer32 => self.integer(json, 32),
            Kind::Integer64 => self.integer(json, 64),
            Kind::Text if json.starts_with('"') => {
                let text: String = serde_json::from_str(json).map_err(|error| not_json(&error))?;
                self.plain.push_str(&serde_json::Value::from(text).to_string());
                None
            }
            Kind::Text => Some("must be a string".to_owned()),
            Kind::Money => self.money(json)?,
            Kind::List(shape) if json.starts_with('[') => {
                return self.list(json, shape, &format!("{at}/{name}"));
            }
            Kind::Integers if json.starts_with('[') => {
                return self.integers(json, &format!("{at}/{name}"));
            }
            Kind::Texts if json.starts_with('[') => {
                return self.texts(json, &format!("{at}/{name}"));
            }
            Kind::List(_) | Kind::Integers | Kind::Texts => Some("must be an array".to_owned()),
        };
        if let Some(rule) = rule {
            self.plain.truncate(begin);
            self.note(at, name, rule);
        }
        Ok(())
    }

    fn integer(&mut self, json: &str, bits: u32) -> Option<String> {
        let read = Number::read(json).map(|number| number.integer());
        match read {
            Some(Ok(value)) if bits == 64 || i32::try_from(value).is_ok() => {
                self.plain.push_str(&value.to_string());
                None
            }
            Some(Ok(_) | Err(NoInteger::TooLarge)) => {
                Some(format!("must be an integer of {bits} bits"))
            }
            Some(Err(NoInteger::Fraction)) | None => Some("must be an integer".to_owned()),
        }
    }

    fn money(&mut self, json: &str) -> Result<Option<String>, Problem> {
        // A number counts by its value; a string keeps its decimals.
        let (amount, plain) = match Number::read(json) {
            Some(number) => (number.plain(), number.plain()),
            None if json.starts_with('"') => {
                let text: String = serde_json::from_str(json).map_err(|error| not_json(&error))?;
                let plain = serde_json::Value::from(&*text).to_string();
                (text, plain)
            }
            None => (json.to_owned(), json.to_owned()),
        };
        let rule = amount.parse::<Money>().err().map(|error| error.to_string());
        if rule.is_none() {
            self.plain.push_str(&plain);
        }
        Ok(rule)
    }

    fn integers(&mut self, json: &str, at: &str) -> Result<(), Problem> {
        self.array(json, |reading, index, element| {
            if let Some(rule) = reading.integer(element, 32) {
                reading.refuse(at, index, rule);
            }
            Ok(())
        })
    }

    fn texts(&mut self, json: &str, at: &str) -> Result<(), Problem> {
        self.array(json, |reading, index, element| {
            reading.plain.push_str(element);
            if !element.starts_with('"') {
                reading.refuse(at, index, "must be a string");
            }
            Ok(())
        })
    }

    fn list(&mut self, json: &str, shape: &Shape, at: &str) -> Result<(), Problem> {
        self.array(json, |reading, index, element| {
            if element.starts_with('{') {
                return reading.object(element, shape, &format!("{at}/{index}"));
            }
            reading.refuse(at, index, "must be an object");
            Ok(())
        })
    }

    /// Reads each element of an array, with its index.
    fn array(
        &mut self,
        json: &str,
        mut read: impl FnMut(&mut Self, usize, &str) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.plain.push('[');
        for (index, element) in elements(json)?.into_iter().enumerate() {
            if index > 0 {
                self.plain.push(',');
            }
            read(self, index, element.get())?;
        }
        self.plain.push(']');
        Ok(())
    }

    /// Notes an element that can't be read.
    fn refuse(&mut self, at: &str, index: usize, rule: impl Into<String>) {
        self.is_whole = false;
        self.note(at, &index.to_string(), rule);
    }
}

/// The elements of an array.
fn elements(json: &str) -> Result<Vec<&RawValue>, Problem> {
    serde_json::from_str(json).map_err(|error| not_json(&error))
}

/// The fields of an object in order, repeated names included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Fields).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Party {
        seats: Option<i32>,
        name: Option<String>,
        price: Option<Money>,
        members: Option<Vec<Member>>,
        places: Option<Vec<i32>>,
        #[serde(default, rename = "id")]
        _id: serde::de::IgnoredAny,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Member {
        age: Option<i64>,
    }

    impl Shaped for Party {
        const SHAPE: Shape = Shape {
            fields: &[
                ("seats", Kind::Integer32),
                ("name", Kind::Text),
                ("price", Kind::Money),
                (
                    "members",
                    Kind::List(&Shape { fields: &[("age", Kind::Integer64)], ignored: &[] }),
                ),
                ("places", Kind::Integers),
            ],
            ignored: &["id"],
        };
    }

    fn party(body: &str) -> Party {
        let (party, invalid) = read::<Party>(body).expect(body);
        assert_eq!(invalid, Invalid::default(), "{body}");
        party
    }

    fn noted(body: &str) -> Vec<(String, String)> {
        let invalid = match read::<Party>(body) {
            Ok((_, invalid)) => invalid.0,
            Err(problem) => problem.errors().to_vec(),
        };
        invalid.into_iter().map(|violation| (violation.pointer, violation.detail)).collect()
    }

    fn one(pointer: &str, rule: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), rule.to_owned())]
    }

    #[test]
    fn a_number_is_read_by_its_value_in_any_notation() {
        let read =
            party(r#"{"seats": 2.0, "price": 1e2, "members": [{"age": 1E+1}], "id": [1e400]}"#);
        assert_eq!(read.seats, Some(2));
        assert_eq!(read.price, Some(Money::from_minor(10_000)));
        assert_eq!(read.members.expect("members")[0].age, Some(10));
        let read = party(r#"{"price": "1\u00300", "name": "\u0041\n", "seats": 1e0}"#);
        assert_eq!(read.price, Some(Money::from_minor(10_000)));
        assert_eq!(read.name.as_deref(), Some("A\n"));
        assert_eq!(
            noted(r#"{"seats": 2147483648}"#),
            one("/seats", "must be an integer of 32 bits")
        );
        assert_eq!(noted(r#"{"seats": 1e400}"#), one("/seats", "must be an integer of 32 bits"));
        assert_eq!(noted(r#"{"price": 1e-9}"#)[0].0, "/price");
        assert_eq!(noted(r#"{"price": 1e999999999}"#)[0].0, "/price");
        assert_eq!(noted(r#"{"price": true}"#)[0].0, "/price");
    }

    #[test]
    fn each_field_that_can_not_be_read_is_noted() {
        let body =
            r#"{"seats": 2.5, "name": 7, "members": [{"age": "x"}, {"age": 1}], "Name": ""}"#;
        let pointers: BTreeSet<_> = noted(body).into_iter().map(|(pointer, _)| pointer).collect();
        let expected = ["/seats", "/name", "/members/0/age", "/Name"].map(Into::into);
        assert_eq!(pointers, BTreeSet::from(expected));
        assert_eq!(noted(r#"{"members": [{}, 1]}"#), one("/members/1", "must be an object"));
        assert_eq!(noted(r#"{"members": {}}"#), one("/members", "must be an array"));
    }

    #[test]
    fn each_element_of_a_list_of_integers_is_read_by_its_value() {
        assert_eq!(party(r#"{"places": [2.0, 1e1, -3]}"#).places, Some(vec![2, 10, -3]));
        assert_eq!(party(r#"{"places": []}"#).places, Some(vec![]));
        assert_eq!(party(r#"{"places": null}"#).places, None);
        let rule = "must be an integer";
        assert_eq!(noted(r#"{"places": [1, "2"]}"#), one("/places/1", rule));
        assert_eq!(noted(r#"{"places": [null]}"#), one("/places/0", rule));
        assert_eq!(noted(r#"{"places": [[1]]}"#), one("/places/0", rule));
        assert_eq!(noted(r#"{"places": [0.5]}"#), one("/places/0", rule));
        assert_eq!(noted(r#"{"places": [2147483648]}"#)[0].1, "must be an integer of 32 bits");
        assert_eq!(noted(r#"{"places": 1}"#), one("/places", "must be an array"));
        let many = vec!["x"; 1_000].join("\",\"");
        assert_eq!(noted(&format!("{{\"places\": [\"{many}\"]}}")).len(), NOTED_MAX);
    }

    #[test]
    fn unknown_and_repeated_fields_are_named() {
        let hint = "is not a field here; did you mean \"seats\"?";
        assert_eq!(noted(r#"{"seets": 1}"#), one("/seets", hint));
        assert_eq!(noted(r#"{"members": [{"agee": 1}]}"#)[0].0, "/members/0/agee");
        for body in [r#"{"seats":1,"seats":2}"#, r#"{"seats":1,"\u0073eats":1,"seats":1}"#] {
            assert_eq!(noted(body), one("/seats", "is given more than once"), "{body}");
        }
        let twice = r#"{"members": [{"age": 1, "age": 1}]}"#;
        assert_eq!(noted(twice), one("/members/0/age", "is given more than once"));
        assert_eq!(noted(r#"{"id": 1, "id": 2}"#), []);
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let members = vec![r#"{"age":"x"}"#; 1_000].join(",");
        assert_eq!(noted(&format!(r#"{{"members":[{members}]}}"#)).len(), NOTED_MAX);
        let unknown: Vec<_> = (0..1_000).map(|number| format!("\"x{number}\":1")).collect();
        assert_eq!(noted(&format!("{{{}}}", unknown.join(","))).len(), NOTED_MAX);
    }
}
