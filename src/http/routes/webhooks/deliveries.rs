//! Deliveries to a webhook: its log, pings, and deliveries once more.

use super::body::{DeliveryBody, DeliveryPage};
use super::{asked_page, find, find_owned};
use crate::domain::{DeliveryId, WebhookId};
use crate::http::routes::Api;
use crate::http::routes::lists::cut;
use crate::http::routes::paying::Empty;
use crate::http::routes::placing::REPLAYED;
use crate::http::wire::audit::{Logged, Watch};
use crate::http::wire::auth::MayWriteWebhooks;
use crate::http::wire::json::{Id, Ids, OptionalJson};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::NoQuery;
use crate::http::wire::request_key;
use crate::webhooks::Told;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use std::sync::Arc;

/// The paths of the requests; part of their idempotency keys in the store.
const PING_PATH: &str = "/api/v1/webhooks/{id}/ping";
const REDELIVER_PATH: &str = "/api/v1/webhooks/{id}/deliveries/{d}/redeliver";

/// Lists the deliveries to a webhook, newest first. They are kept for `WEBHOOK_RETENTION`.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries", operation_id = "listDeliveries", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(
        ("id" = i64, Path, example = 1),
        ("limit" = Option<i32>, Query, nullable = false, description = "Maximum deliveries in the list; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^[0-9]{0,18}$", description = "The next_cursor of the previous list"),
    ),
    responses(
        (status = 200, body = DeliveryPage),
        (status = 403, headers(("WWW-Authenticate" = String)), description = "forbidden: the token lacks webhooks:write"),
        (status = 404, description = "not_found: no such webhook, or another caller's"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    Id(id): Id,
    uri: Uri,
) -> Result<axum::Json<DeliveryPage>, Problem> {
    let (before, limit) = asked_page(&uri)?;
    let _permit = api.permit()?;
    let webhook = find_owned(&api, &caller, WebhookId(id)).await?;
    let before = before.map(DeliveryId);
    // One more than the limit shows whether there are more.
    let mut found = api.webhooks.deliveries(webhook.id, before, limit + 1).await?;
    let next_cursor = cut(&mut found, limit).map(|last| last.id.to_string());
    let deliveries = found.into_iter().map(DeliveryBody::from).collect();
    Ok(axum::Json(DeliveryPage { deliveries, next_cursor }))
}

/// Sends an event of type `webhook.ping`, also to a disabled webhook, which becomes active again if it answers 2xx.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/ping", operation_id = "pingWebhook", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "ping-7"),
    ),
    request_body = Option<Empty>,
    responses(
        (status = 202, body = DeliveryBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks webhooks:write, or a page of another origin"),
        (status = 404, description = "not_found: no such webhook, or another caller's"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn ping(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(Empty {}, mut invalid): OptionalJson<Empty>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let key = request_key::of_caller(PING_PATH, &caller, &headers, &id, &mut invalid);
    invalid.or(())?;
    let mut deed = watch.begin(&caller, "webhook.ping", Logged::Always);
    let webhook = find(&api, &caller, id, &mut deed).await?;
    let told = deed.end(api.webhooks.ping(webhook.id, key.as_ref()).await)?;
    Ok(accepted(told))
}

/// Sends a delivery once more, whatever became of it, with the same `webhook-id`.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/deliveries/{d}/redeliver", operation_id = "redeliver", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(
        ("id" = i64, Path, example = 1), ("d" = i64, Path, description = "Id of the delivery", example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "redeliver-7"),
    ),
    request_body = Option<Empty>,
    responses(
        (status = 202, body = DeliveryBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks webhooks:write, or a page of another origin"),
        (status = 404, description = "not_found: no such webhook or delivery, or another caller's"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn redeliver(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Ids(id, delivery): Ids,
    OptionalJson(Empty {}, mut invalid): OptionalJson<Empty>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let both = (id, delivery);
    let key = request_key::of_caller(REDELIVER_PATH, &caller, &headers, &both, &mut invalid);
    invalid.or(())?;
    let mut deed = watch.begin(&caller, "webhook.redeliver", Logged::Always);
    let webhook = find(&api, &caller, id, &mut deed).await?;
    let delivery = DeliveryId(delivery);
    let told = deed.end(api.webhooks.redeliver(webhook.id, delivery, key.as_ref()).await)?;
    Ok(accepted(told))
}

fn accepted(Told { delivery, replayed }: Told) -> Response {
    let body = axum::Json(DeliveryBody::from(delivery));
    (StatusCode::ACCEPTED, replayed.then_some([REPLAYED]), body).into_response()
}
