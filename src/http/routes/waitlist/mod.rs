//! Waiting lists: join, read, leave, accept, decline.

mod body;

use super::Api;
use super::paying::{Empty, Paid, PayBody, asked};
use super::placing::REPLAYED;
use crate::booking::ShownEntry;
use crate::domain::{FlightId, WaitlistId};
use crate::http::wire::audit::{Deed, Logged, Watch};
use crate::http::wire::auth::acts_for;
use crate::http::wire::json::{Id, Json, OptionalJson};
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use crate::http::wire::request_key;
use crate::identity::Caller;
use crate::rules::{Decline, Refusal};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use body::{EntryBody, JoinBody};
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;

/// The paths of the requests; part of their idempotency keys in the store.
const JOIN_PATH: &str = "/api/v1/flights/{id}/waitlist";
const ACCEPT_PATH: &str = "/api/v1/waitlist/{id}/accept";
const DECLINE_PATH: &str = "/api/v1/waitlist/{id}/decline";

/// Waits for seats of a flight that has too few.
///
/// Seats that become free go to the parties in the order of their joining, each whole or not at all. With `ask` they
/// are offered: accept within `OFFER_TTL` with a payment, or decline. With `auto` they are bought at once.
#[utoipa::path(
    post, path = "/api/v1/flights/{id}/waitlist", operation_id = "joinWaitlist", tag = "waitlist", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the user's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "wait-7"),
    ),
    request_body = JoinBody,
    responses(
        (status = 201, body = EntryBody, headers(("Location" = String), ("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: the token is another user's and has no bookings:admin, or a page of another origin"),
        (status = 404, description = "not_found: no such flight"),
        (status = 409, description = "seats_available, already_waiting, waitlist_full, flight_not_bookable"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
        (status = 503, description = "overloaded, unavailable"),
    )
)]
pub(crate) async fn join(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    Json(body, mistyped): Json<JoinBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let flight = FlightId(id);
    let wait = body.check(JOIN_PATH, flight, mistyped, api.limits.party_size_max, &headers)?;
    let mut deed = watch.begin(&caller, "waitlist.join", Logged::UnlessOwn);
    (deed.user, deed.flight) = (Some(wait.user_id), Some(flight));
    deed.check(acts_for(&caller, wait.user_id))?;
    let (shown, replayed) = deed.end(api.waiting_list.join(wait).await)?;
    let location = format!("/api/v1/waitlist/{}", shown.record.entry.id);
    let replayed = replayed.then_some([REPLAYED]);
    let body = axum::Json(EntryBody::of(&shown, &api.pages));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], replayed, body).into_response())
}

/// Reads an entry of a waiting list.
#[utoipa::path(
    get, path = "/api/v1/waitlist/{id}", operation_id = "getWaitlistEntry", tag = "waitlist", security((), ("bearer" = [])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = EntryBody),
        (status = 404, description = "not_found: no such entry, or another user's"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<EntryBody>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "waitlist.read", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, WaitlistId(id), &mut deed).await;
    let shown = deed.end(found)?;
    Ok(axum::Json(EntryBody::of(&shown, &api.pages)))
}

/// Leaves the line. An open offer is declined; an entry that is over stays as it is.
#[utoipa::path(
    delete, path = "/api/v1/waitlist/{id}", operation_id = "leaveWaitlist", tag = "waitlist", security((), ("bearer" = [])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = EntryBody),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such entry, or another user's"),
    )
)]
pub(crate) async fn leave(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<EntryBody>, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "waitlist.leave", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, WaitlistId(id), &mut deed).await;
    let shown = deed.check(found)?;
    deed.end(api.waiting_list.leave(&shown).await)?;
    let shown = api.waiting_list.entry(WaitlistId(id)).await?;
    Ok(axum::Json(EntryBody::of(&shown, &api.pages)))
}

/// Accepts an offer: pays its booking.
///
/// As the payment of a booking: answers 202 at once, or with `Prefer: wait=N` 200 when the payment has an outcome or
/// the payer must act. A decline of the card leaves the offer.
#[utoipa::path(
    post, path = "/api/v1/waitlist/{id}/accept", operation_id = "acceptOffer", tag = "waitlist", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "accept-7"),
        ("Prefer" = Option<String>, Header, nullable = false, description = "wait=N: seconds to wait for the outcome, up to 60"),
    ),
    request_body = Option<PayBody>,
    responses(
        (status = 200, body = EntryBody, description = "The payment has an outcome, or the payer must act", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 202, body = EntryBody, description = "The payment is in progress", headers(
            ("Idempotent-Replayed" = String), ("Preference-Applied" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such entry, or another user's"),
        (status = 409, description = "no_offer, payment_in_progress, hold_expired, too_many_attempts"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
        (status = 503, description = "overloaded, unavailable"),
    )
)]
pub(crate) async fn accept(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    asking: (NoQuery, Wait),
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(body, mut invalid): OptionalJson<PayBody>,
) -> Result<Response, Problem> {
    let permit = api.permit()?;
    let id = WaitlistId(id);
    let mut deed = watch.begin(&caller, "waitlist.accept", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, id, &mut deed).await;
    let shown = deed.check(found)?;
    let mut pay = body.check(id.booking(), &api.pages, &headers, &mut invalid);
    pay.request =
        request_key::of_caller(ACCEPT_PATH, &caller, &headers, &asked(&pay), &mut invalid);
    deed.check(invalid.or(()))?;
    let replayed = deed.end(api.waiting_list.accept(&shown, pay).await)?;
    drop((deed, permit));
    let paid = Paid { id: id.booking(), wait: asking.1.0, replayed };
    let entry = shown.record;
    let body = |order| EntryBody::of(&ShownEntry { record: entry, order: Some(order) }, &api.pages);
    paid.answer(&api, body).await
}

/// Turns an offer down: its seats go to those behind.
#[utoipa::path(
    post, path = "/api/v1/waitlist/{id}/decline", operation_id = "declineOffer", tag = "waitlist", security((), ("bearer" = [])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "decline-7"),
    ),
    request_body = Option<Empty>,
    responses(
        (status = 200, body = EntryBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: a page of another origin"),
        (status = 404, description = "not_found: no such entry, or another user's"),
        (status = 409, description = "no_offer"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn decline(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(Empty {}, mut invalid): OptionalJson<Empty>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let id = WaitlistId(id);
    let mut deed = watch.begin(&caller, "waitlist.decline", Logged::UnlessOwn);
    let found = find_owned(&api, &caller, id, &mut deed).await;
    let shown = deed.check(found)?;
    let request = request_key::of_caller(DECLINE_PATH, &caller, &headers, &id, &mut invalid);
    deed.check(invalid.or(()))?;
    let declined = api.waiting_list.decline(&shown, Decline { id, request }).await;
    let replayed = deed.end(declined)?.then_some([REPLAYED]);
    let shown = api.waiting_list.entry(id).await?;
    Ok((replayed, axum::Json(EntryBody::of(&shown, &api.pages))).into_response())
}

/// An entry that the caller may see. Another user's is not found: the answer must not tell which ids exist.
async fn find_owned(
    api: &Api,
    caller: &Caller,
    id: WaitlistId,
    deed: &mut Deed,
) -> Result<ShownEntry, Problem> {
    let shown = api.waiting_list.entry(id).await?;
    let entry = &shown.record.entry;
    (deed.booking, deed.user) = (Some(id.booking()), Some(entry.user_id));
    deed.flight = Some(entry.flight_id);
    if caller.may_act_for(entry.user_id) {
        return Ok(shown);
    }
    Err(Problem::from(Refusal::EntryNotFound(id)).refusing("the entry is another user's"))
}
