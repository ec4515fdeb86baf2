//! `/api/v1/refunds/{id}`: a refund that the gateway refused is asked for again.

use super::Api;
use super::paying::Empty;
use super::placing::REPLAYED;
use crate::domain::{PaymentReference, Refund, RefundId};
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::has_scope;
use crate::http::wire::json::OptionalJson;
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::query::NoQuery;
use crate::http::wire::request_key;
use crate::identity::{Caller, Scope};
use crate::rules::{Refusal, RetryRefund};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use std::sync::Arc;

/// The path of the request; part of its idempotency keys in the store.
const RETRY_PATH: &str = "/api/v1/refunds/{id}/retry";

/// Asks the gateway again for a refund that it refused.
///
/// The refund keeps its id, so that it is made once. Its outcome follows: read the booking.
#[utoipa::path(
    post, path = "/api/v1/refunds/{id}/retry", operation_id = "retryRefund", tag = "bookings", security((), ("bearer" = ["bookings:admin"])),
    params(
        ("id" = String, Path, example = "REF-0123456789abcdef0123456789abcdef"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "retry-refund-7"),
    ),
    request_body = Option<Empty>,
    responses(
        (status = 200, body = Refund, headers(("Idempotent-Replayed" = String))),
        (status = 403, description = "forbidden: the token lacks bookings:admin, or a page of another origin"),
        (status = 404, description = "not_found: no such refund"),
        (status = 409, description = "refund_not_failed"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn retry(
    State(api): State<Arc<Api>>,
    caller: Caller,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Path(id): Path<String>,
    OptionalJson(Empty {}, mut invalid): OptionalJson<Empty>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "refund.retry", Logged::Always);
    deed.check(has_scope(&caller, Scope::BookingsAdmin))?;
    let request = request_key::of_caller(RETRY_PATH, &caller, &headers, &id, &mut invalid);
    deed.check(invalid.or(()))?;
    let found = find(&api, &id).await;
    let (id, payment) = deed.check(found)?;
    let (order, replayed) =
        deed.end(api.bookings.retry_refund(RetryRefund { id, payment, request }).await)?;
    let record = api.bookings.order(order.id()).await?;
    let refund = record.refunds.into_iter().find(|refund| refund.id == id);
    let refund = refund.ok_or(Problem::from(Refusal::UnknownRefund(payment)))?;
    let replayed = replayed.then_some([REPLAYED]);
    Ok((replayed, axum::Json(refund)).into_response())
}

/// The refund with this id, and its payment.
async fn find(api: &Api, text: &str) -> Result<(RefundId, PaymentReference), Problem> {
    let missing = || Problem::new(Code::NotFound, "there is no such refund");
    let id = text.parse().map_err(|_| missing())?;
    let payment = api.bookings.payment_of_refund(id).await?;
    Ok((id, payment.ok_or_else(missing)?))
}
