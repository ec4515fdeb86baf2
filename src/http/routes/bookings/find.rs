//! A booking found by its reference and a passenger's last name, for travellers without an account.

use super::BookingBody;
use crate::domain::{Invalid, LastName, Reference};
use crate::http::routes::Api;
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::Anybody;
use crate::http::wire::json::Json;
use crate::http::wire::json::fields::required;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::query::NoQuery;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a miss takes, from the arrival of its body. Far longer than the store needs to read rows, so that the time
/// does not tell whether there were any.
const MISS_TAKES: Duration = Duration::from_millis(50);

/// Maximum length of a last name, in characters: that of a passenger's name.
const NAME_CHARS_MAX: usize = 100;

/// A booking to find.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reference": "K7MQ2X", "last_name": "Doe"}))]
pub(crate) struct FindBookingBody {
    /// Its reference, in capitals or not.
    #[schema(required, nullable = false, min_length = 1)]
    reference: Option<String>,
    /// The last word of a passenger's name, or all of a name of one word; without regard to case and accents.
    #[schema(required, nullable = false, min_length = 1, max_length = 100)]
    last_name: Option<String>,
}

impl Shaped for FindBookingBody {
    const SHAPE: Shape =
        Shape { fields: &[("reference", Kind::Text), ("last_name", Kind::Text)], ignored: &[] };
}

impl FindBookingBody {
    /// What to look for, or all broken rules, those in `invalid` included. The reference is `None` if it is none.
    fn check(self, mut invalid: Invalid) -> Result<(Option<Reference>, LastName), Invalid> {
        let reference = required(&mut invalid, "reference", self.reference).unwrap_or_default();
        if reference.trim().is_empty() {
            note(&mut invalid, "/reference", "must not be empty");
        }
        let typed = required(&mut invalid, "last_name", self.last_name).unwrap_or_default();
        if typed.chars().count() > NAME_CHARS_MAX {
            note(&mut invalid, "/last_name", "must be at most 100 characters");
        }
        let Some(last_name) = LastName::new(&typed) else {
            note(&mut invalid, "/last_name", "must not be empty");
            return Err(invalid);
        };
        invalid.or((reference.parse().ok(), last_name))
    }
}

/// Notes a broken rule, unless one of the same field is noted.
fn note(invalid: &mut Invalid, pointer: &str, rule: &str) {
    if invalid.0.iter().all(|noted| noted.pointer != pointer) {
        invalid.add(pointer, rule);
    }
}

/// Finds a booking by its reference and a passenger's last name.
///
/// Answers with the first booking of the itinerary. Any passenger of it will do. Needs no token. A client may miss five
/// times a minute; all misses are answered alike.
#[utoipa::path(
    post, path = "/api/v1/bookings/find", operation_id = "findBooking", tag = "bookings",
    request_body = FindBookingBody,
    responses(
        (status = 200, body = BookingBody),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no booking has this reference and a passenger of this name"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn find(
    State(api): State<Arc<Api>>,
    Anybody(caller): Anybody,
    watch: Watch,
    _: NoQuery,
    Json(body, mistyped): Json<FindBookingBody>,
) -> Result<axum::Json<BookingBody>, Problem> {
    let (permit, arrived_at) = (api.permit()?, Instant::now());
    let mut deed = watch.begin(&caller, "booking.find", Logged::UnlessOwn);
    let (reference, name) = deed.check(body.check(mistyped))?;
    let order = reference.and_then(|reference| api.pages.references.order(reference));
    let found = deed.check(api.bookings.find(order, &name).await)?;
    if let Some(record) = found {
        (deed.booking, deed.user) = (Some(record.order.id()), Some(record.order.user()));
        return deed.end(Ok::<_, Problem>(axum::Json(BookingBody::of(record, 0, &api.pages))));
    }
    drop(permit);
    sleep_until(arrived_at + MISS_TAKES).await;
    let detail = "no booking has this reference and a passenger of this last name";
    deed.end(Err(Problem::new(Code::NotFound, detail).refusing("it finds no booking")))
}
