//! The JSON of a flight to create or to change.

use super::fields::{instant, required};
use super::shape::{Kind, Sent, Shape, Shaped};
use crate::domain::{
    Currency, FareName, FareRules, FieldChange, FlightPatch, FlightStatus, Invalid, Money,
    NewFlight, Timestamp,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;
use strum::VariantNames as _;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

/// The fields of a flight. Fields of responses are accepted and ignored, so that a client can read a flight
/// and send it back whole; unknown fields are refused.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "ignored fields are named, so that unknown ones are refused")]
#[schema(example = json!({
    "source": "Delhi", "destination": "Mumbai", "timestamp": "2025-01-20T10:00:00Z",
    "available_seats": 150, "total_seats": 180, "price": 2500.00
}))]
pub(crate) struct FlightBody {
    /// 1 to 20 letters and digits, stored in capitals without blanks and hyphens (`ai 101` is `AI101`).
    /// `null` removes it.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    flight_number: Sent<String>,
    /// 1 to 100 characters.
    #[schema(value_type = String, required = false)]
    #[serde(default)]
    source: Sent<String>,
    /// 1 to 100 characters; differs from `source`.
    #[schema(value_type = String, required = false)]
    #[serde(default)]
    destination: Sent<String>,
    /// Departure: date, time and offset (RFC 3339).
    #[schema(value_type = String, required = false, format = DateTime)]
    #[serde(default)]
    timestamp: Sent<String>,
    /// Arrival, after the departure. `null` removes it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    arrival_timestamp: Sent<String>,
    /// Seats that this service sells: at most `total_seats`.
    #[schema(value_type = i32, required = false, minimum = 0)]
    #[serde(default)]
    available_seats: Sent<i32>,
    /// Seats on board.
    #[schema(value_type = i32, required = false, minimum = 1, maximum = 10000)]
    #[serde(default)]
    total_seats: Sent<i32>,
    /// The status; an empty string leaves it as it is.
    #[schema(schema_with = status_or_empty, required = false)]
    #[serde(default)]
    flight_status: Sent<String>,
    /// Price of one seat: a number or a string, with no more decimals than the currency has.
    #[schema(value_type = Money, required = false)]
    #[serde(default)]
    price: Sent<Money>,
    /// Part of the price that a refund always returns: 0 (the default) to the price.
    #[schema(value_type = Money, required = false)]
    #[serde(default)]
    taxes: Sent<Money>,
    /// Name of the fare rules with which seats are sold from now on; `free` by default.
    #[schema(value_type = String, required = false, pattern = "^[a-z0-9-]{1,40}$", example = "free")]
    #[serde(default)]
    fare_rules: Sent<String>,
    /// The currency of `price`, which must be the flight's own.
    #[schema(value_type = String, required = false)]
    #[serde(default)]
    currency: Sent<String>,
    /// The version of the flight that is changed; needed to change seat counts.
    #[schema(value_type = i64, required = false)]
    #[serde(default)]
    version: Sent<i64>,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    id: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    held_seats: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    blocked_seats: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    created_at: IgnoredAny,
    /// A field of responses; ignored.
    #[schema(value_type = serde_json::Value, required = false)]
    #[serde(default)]
    updated_at: IgnoredAny,
}

impl Shaped for FlightBody {
    const SHAPE: Shape = Shape {
        fields: &[
            ("flight_number", Kind::Text),
            ("source", Kind::Text),
            ("destination", Kind::Text),
            ("timestamp", Kind::Text),
            ("arrival_timestamp", Kind::Text),
            ("available_seats", Kind::Integer32),
            ("total_seats", Kind::Integer32),
            ("flight_status", Kind::Text),
            ("price", Kind::Money),
            ("taxes", Kind::Money),
            ("fare_rules", Kind::Text),
            ("currency", Kind::Text),
            ("version", Kind::Integer64),
        ],
        ignored: &["id", "held_seats", "blocked_seats", "created_at", "updated_at"],
    };
}

/// The schema of a status in a change: a status, or the empty string that clients of the existing service
/// send.
fn status_or_empty() -> Object {
    let words = FlightStatus::VARIANTS.iter().copied().chain([""]);
    let status = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    status.description(Some("The status; an empty string leaves it as it is.")).build()
}

/// The schema of a status in a new flight: `null` is allowed as well and means absent.
fn first_status() -> Object {
    let words = FlightStatus::VARIANTS.iter().copied().map(Some);
    let status = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(words.chain([Some(""), None])));
    status.description(Some("`scheduled` by default.")).build()
}

/// The fields of a new flight: the schema of [`FlightBody`] in a `POST`, where some fields are required.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "one type can't have two schemas")]
#[schema(example = json!({
    "source": "Delhi", "destination": "Mumbai", "timestamp": "2025-01-20T10:00:00Z",
    "available_seats": 150, "total_seats": 180, "price": 2500.00
}))]
pub(crate) struct NewFlightBody {
    /// 1 to 20 letters and digits, stored in capitals without blanks and hyphens (`ai 101` is `AI101`).
    #[schema(min_length = 1, pattern = "^[ -]*([A-Za-z0-9][ -]*){1,20}$")]
    flight_number: Option<String>,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    source: String,
    /// 1 to 100 characters; differs from `source`.
    #[schema(min_length = 1, max_length = 100)]
    destination: String,
    /// Departure: date, time and offset (RFC 3339).
    #[schema(format = DateTime)]
    timestamp: String,
    /// Arrival, after the departure.
    #[schema(format = DateTime)]
    arrival_timestamp: Option<String>,
    /// Seats that this service sells: at most `total_seats`.
    #[schema(minimum = 0, maximum = 10000)]
    available_seats: i32,
    /// Seats on board.
    #[schema(minimum = 1, maximum = 10000)]
    total_seats: i32,
    /// `scheduled` by default.
    #[schema(schema_with = first_status, required = false)]
    flight_status: Option<String>,
    /// Price of one seat: a number or a string, with no more decimals than the currency has.
    price: Money,
    /// Part of the price that a refund always returns: 0 (the default) to the price.
    taxes: Option<Money>,
    /// Name of the fare rules with which seats are sold; `free` by default.
    #[schema(pattern = "^[a-z0-9-]{1,40}$", example = "free")]
    fare_rules: Option<String>,
    /// The currency of `price`, which must be the service's (`CURRENCY`).
    currency: Option<String>,
    /// Ignored: the version of a new flight is 1.
    version: Option<i64>,
    /// A field of responses; ignored.
    id: Option<serde_json::Value>,
    /// A field of responses; ignored.
    held_seats: Option<serde_json::Value>,
    /// A field of responses; ignored.
    blocked_seats: Option<serde_json::Value>,
    /// A field of responses; ignored.
    created_at: Option<serde_json::Value>,
    /// A field of responses; ignored.
    updated_at: Option<serde_json::Value>,
}

impl FlightBody {
    /// The version of the flight that is changed.
    pub(crate) fn version(&self) -> Option<i64> {
        self.version.value().copied()
    }

    /// The flight to create, or all broken rules, those in `invalid` included. `null` means absent.
    pub(crate) fn into_new(
        self,
        mut invalid: Invalid,
        currency: Currency,
    ) -> Result<NewFlight, Invalid> {
        let source = required(&mut invalid, "source", text(&self.source));
        let destination = required(&mut invalid, "destination", text(&self.destination));
        let available_seats =
            required(&mut invalid, "available_seats", self.available_seats.value());
        let total_seats = required(&mut invalid, "total_seats", self.total_seats.value());
        let price = required(&mut invalid, "price", self.price.value());
        let timestamp = required(&mut invalid, "timestamp", text(&self.timestamp));
        if let Some(sent) = text(&self.currency) {
            currency.check(&mut invalid, sent);
        }
        let departs_at = self.instant("timestamp", &mut invalid);
        let arrives_at = self.instant("arrival_timestamp", &mut invalid);
        let flight_status = self.status(&mut invalid);
        // Missing fields get a valid value, so that `checked` names only fields that were sent.
        let (default_source, default_destination) = stand_ins(source, destination);
        let flight = NewFlight {
            flight_number: text(&self.flight_number).map(Into::into),
            source: source.unwrap_or(default_source).into(),
            destination: destination.unwrap_or(default_destination).into(),
            departs_at: departs_at.unwrap_or_default(),
            arrives_at: arrives_at.filter(|_| departs_at.is_some()),
            available_seats: available_seats.copied().unwrap_or_default(),
            total_seats: total_seats.copied().unwrap_or(NewFlight::TOTAL_SEATS_MAX),
            flight_status: flight_status.unwrap_or(FlightStatus::Scheduled),
            price: price.copied().unwrap_or(Money::most_of(currency)),
            taxes: self.taxes.value().copied().unwrap_or_default(),
            fare_rules: self.fare_rules(&mut invalid).unwrap_or_default(),
        };
        debug_assert!(timestamp.is_some() || !invalid.0.is_empty());
        match flight.checked(currency) {
            Ok(flight) => invalid.or(flight),
            Err(more) => {
                invalid.0.extend(more.0);
                Err(invalid)
            }
        }
    }

    /// The name of the fare rules, if it is sent and can be one.
    fn fare_rules(&self, invalid: &mut Invalid) -> Option<FareName> {
        let name = text(&self.fare_rules)?;
        if !FareRules::is_name(name) {
            invalid.add("/fare_rules", "must be 1 to 40 of a-z, 0-9 and -");
            return None;
        }
        Some(FareName::from(Arc::from(name)))
    }

    /// The fields to change. Notes what can't be read, and `null` in fields that a flight must have.
    pub(crate) fn into_patch(self, invalid: &mut Invalid) -> FlightPatch {
        for (name, is_null) in [
            ("source", self.source == Sent::Null),
            ("destination", self.destination == Sent::Null),
            ("timestamp", self.timestamp == Sent::Null),
            ("available_seats", self.available_seats == Sent::Null),
            ("total_seats", self.total_seats == Sent::Null),
            ("flight_status", self.flight_status == Sent::Null),
            ("price", self.price == Sent::Null),
            ("taxes", self.taxes == Sent::Null),
            ("fare_rules", self.fare_rules == Sent::Null),
            ("currency", self.currency == Sent::Null),
            ("version", self.version == Sent::Null),
        ] {
            if is_null {
                invalid.add(format!("/{name}"), "must not be null");
            }
        }
        let arrives_at = match &self.arrival_timestamp {
            Sent::Null => FieldChange::Clear,
            _ => self
                .instant("arrival_timestamp", invalid)
                .map_or(FieldChange::Keep, FieldChange::Set),
        };
        FlightPatch {
            departs_at: self.instant("timestamp", invalid),
            arrives_at,
            flight_status: self.status(invalid),
            flight_number: match &self.flight_number {
                Sent::Absent => FieldChange::Keep,
                Sent::Null => FieldChange::Clear,
                Sent::Value(number) => FieldChange::Set(number.as_str().into()),
            },
            source: text(&self.source).map(Into::into),
            destination: text(&self.destination).map(Into::into),
            available_seats: self.available_seats.value().copied(),
            total_seats: self.total_seats.value().copied(),
            price: self.price.value().copied(),
            fare_rules: self.fare_rules(invalid),
            taxes: self.taxes.value().copied(),
            currency: text(&self.currency).map(Into::into),
        }
    }

    /// One of the two instants, parsed. Notes one that can't be read.
    fn instant(&self, name: &str, invalid: &mut Invalid) -> Option<Timestamp> {
        let sent = if name == "timestamp" { &self.timestamp } else { &self.arrival_timestamp };
        text(sent).and_then(|text| instant(invalid, name, text))
    }

    /// The status, if there is one. Notes an unknown one.
    fn status(&self, invalid: &mut Invalid) -> Option<FlightStatus> {
        let word = text(&self.flight_status).filter(|word| !word.is_empty())?;
        let status = word.parse().ok();
        if status.is_none() {
            let known = FlightStatus::VARIANTS.join(", ");
            invalid.add("/flight_status", format!("must be one of {known}"));
        }
        status
    }
}

fn text(sent: &Sent<String>) -> Option<&str> {
    sent.value().map(String::as_str)
}

fn stand_ins<'a>(source: Option<&str>, destination: Option<&str>) -> (&'a str, &'a str) {
    let differs = |other: Option<&str>| if other == Some("A") { "B" } else { "A" };
    match (source, destination) {
        (None, None) => ("A", "B"),
        _ => (differs(destination), differs(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use utoipa::PartialSchema;

    #[test]
    fn the_shape_and_both_schemas_name_the_same_fields() {
        let shape = FlightBody::SHAPE;
        let fields = shape.fields.iter().map(|(name, _)| *name);
        let named: BTreeSet<_> = fields.chain(shape.ignored.iter().copied()).collect();
        for schema in [FlightBody::schema(), NewFlightBody::schema()] {
            let schema = serde_json::to_value(schema).expect("a schema is JSON");
            let properties = schema["properties"].as_object().expect("properties");
            assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), named);
            assert_eq!(schema["additionalProperties"], false);
        }
        let new = serde_json::to_value(NewFlightBody::schema()).expect("a schema is JSON");
        let status = &new["properties"]["flight_status"];
        assert_eq!(status["type"], serde_json::json!(["string", "null"]));
        assert_eq!(status["enum"].as_array().and_then(|words| words.last()), Some(&Value::Null));
    }
}
