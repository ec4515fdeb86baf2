//! `/api/v1/tickets`: tickets for streams of events, which browsers open without a header.

use super::{Api, bookings};
use crate::domain::{BookingId, FlightId, Invalid, Timestamp};
use crate::http::wire::audit::{Deed, Logged, Watch};
use crate::http::wire::json::Json;
use crate::http::wire::json::fields::required;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{NoQuery, Query, readable};
use crate::identity::{Caller, TICKET_TTL};
use axum::extract::State;
use http::Uri;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a ticket is for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"resource": "/bookings/7"}))]
pub(crate) struct TicketBody {
    /// `/bookings/` or `/flights/` and an id.
    #[schema(required, nullable = false, pattern = "^/(bookings|flights)/[0-9]{1,18}$")]
    resource: Option<String>,
}

impl Shaped for TicketBody {
    const SHAPE: Shape = Shape { fields: &[("resource", Kind::Text)], ignored: &[] };
}

impl TicketBody {
    /// What the ticket is for, or all broken rules, those in `invalid` included.
    fn check(self, mut invalid: Invalid) -> Result<Resource, Invalid> {
        let named = required(&mut invalid, "resource", self.resource);
        let resource = named.as_deref().and_then(Resource::read);
        if named.is_some() && resource.is_none() {
            invalid.add("/resource", "must be /bookings/ or /flights/ and an id");
        }
        match resource {
            Some(resource) => invalid.or(resource),
            None => Err(invalid),
        }
    }
}

/// A ticket.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IssuedTicket {
    /// The parameter `ticket` of the stream's path.
    ticket: String,
    /// Until when it opens a stream.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    expires_at: Timestamp,
}

/// What a stream is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    Flight(FlightId),
    Booking(BookingId),
}

impl Resource {
    /// Reads `/bookings/7`.
    fn read(text: &str) -> Option<Self> {
        let (kind, id) = text.strip_prefix('/')?.split_once('/')?;
        let is_number = id.len() <= 18 && id.bytes().all(|byte| byte.is_ascii_digit());
        let id = id.parse().ok().filter(|_| is_number)?;
        match kind {
            "flights" => Some(Self::Flight(FlightId(id))),
            "bookings" => Some(Self::Booking(BookingId(id))),
            _ => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Flight(id) => format!("/flights/{id}"),
            Self::Booking(id) => format!("/bookings/{id}"),
        }
    }
}

/// Makes a ticket for the stream of a flight or a booking.
///
/// Browsers cannot send a token with `EventSource`: the ticket is the parameter `ticket` of the stream's path. It opens
/// that stream once, within 60 s, with the rights of the caller's token.
#[utoipa::path(
    post, path = "/api/v1/tickets", operation_id = "makeTicket", tag = "events", security((), ("bearer" = [])),
    request_body = TicketBody,
    responses(
        (status = 200, body = IssuedTicket),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such flight or booking, or another user's"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn issue(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Json(body, invalid): Json<TicketBody>,
) -> Result<axum::Json<IssuedTicket>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "ticket.issue", Logged::UnlessOwn);
    let resource = deed.check(body.check(invalid))?;
    let seen = check_seen(&api, &caller, resource, &mut deed).await;
    deed.end(seen)?;
    let (ticket, expires_at) = api.tickets.issue(&caller, &resource.text());
    Ok(axum::Json(IssuedTicket { ticket, expires_at }))
}

/// 404 unless the caller may see the resource.
async fn check_seen(
    api: &Api,
    caller: &Caller,
    resource: Resource,
    deed: &mut Deed,
) -> Result<(), Problem> {
    match resource {
        Resource::Flight(id) => drop(api.flights.flight(id).await?),
        Resource::Booking(id) => drop(bookings::find_owned(api, caller, id, deed).await?),
    }
    Ok(())
}

/// The caller of a stream: its ticket's, or else its token's. 401 for a ticket that is none, or was used.
pub(super) async fn caller_of(
    api: &Api,
    uri: &Uri,
    by_token: Result<Caller, Problem>,
    resource: Resource,
) -> Result<Caller, Problem> {
    let query = Query::of(uri)?;
    let mut unreadable = Invalid::default();
    query.only(&["ticket"], &mut unreadable);
    readable(unreadable)?;
    let Some(text) = query.get("ticket") else { return by_token };
    let refused = |reason| {
        let detail = format!("the ticket is not accepted: {reason}");
        Problem::unauthenticated(detail, true, reason)
    };
    let ticket = api.tickets.read(text, &resource.text(), api.tokens.is_none());
    let ticket = ticket.ok_or_else(|| refused("it is none of this resource, or has ended"))?;
    // Longer than a ticket is valid, whatever the clocks of replicas say.
    let time = 2 * TICKET_TTL.to_std().unwrap_or_default();
    if !api.once.is_first(&ticket.name, time).await {
        return Err(refused("it was used before"));
    }
    Ok(ticket.caller)
}
