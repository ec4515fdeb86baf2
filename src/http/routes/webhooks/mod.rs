//! `/api/v1/webhooks`: partners' endpoints for events.

mod body;
pub(crate) mod deliveries;

use super::Api;
use super::lists::{CURSOR_RULE, IdCursor, asked_limit, check_limit, cut};
use super::paying::Empty;
use super::placing::REPLAYED;
use crate::domain::{Invalid, UserId, Webhook, WebhookId};
use crate::http::wire::audit::{Deed, Logged, Watch};
use crate::http::wire::auth::MayWriteWebhooks;
use crate::http::wire::json::{Id, Json, OptionalJson};
use crate::http::wire::problem::Problem;
use crate::http::wire::query::{NoQuery, Query, readable};
use crate::http::wire::request_key;
use crate::identity::Caller;
use crate::webhooks::{CreatedWebhook, Error};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use body::{NewWebhookBody, RotatedBody, WebhookBody, WebhookPage};
use http::{HeaderMap, StatusCode, Uri, header};
use std::sync::Arc;

/// The paths of the requests; part of their idempotency keys in the store.
const PATH: &str = "/api/v1/webhooks";
const ROTATE_PATH: &str = "/api/v1/webhooks/{id}/rotate";

/// Makes a webhook: events of these types are sent to the URL from now on.
///
/// Each is a `POST` of `{type, timestamp, data}`, signed as [Standard Webhooks](https://www.standardwebhooks.com) says:
/// `webhook-id` is the event's id, `webhook-signature` is by the secret, which is shown here and nowhere else. Answer
/// 2xx within ten seconds. An event may come more than once, with the same id; those of one flight come in their order.
/// After a failure it comes again for three days. A webhook that fails for three days is disabled.
#[utoipa::path(
    post, path = "/api/v1/webhooks", operation_id = "createWebhook", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
        nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "webhook-7")),
    request_body = NewWebhookBody,
    responses(
        (status = 201, body = WebhookBody, headers(("Location" = String), ("Idempotent-Replayed" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks webhooks:write, or a page of another origin"),
        (status = 404, description = "not_found: a repeat, and the webhook was deleted since"),
        (status = 409, description = "too_many_webhooks"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Json(body, mut invalid): Json<NewWebhookBody>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let asked = body.check(api.webhooks.is_private_allowed, &mut invalid);
    let key = request_key::of_caller(PATH, &caller, &headers, &asked, &mut invalid);
    let asked =
        invalid.or(asked)?.ok_or_else(|| Problem::internal("a sound body has all fields"))?;
    let mut deed = watch.begin(&caller, "webhook.create", Logged::Always);
    let owner = owner_of(&caller).unwrap_or(UserId(0));
    let created = api.webhooks.create(owner, asked.url, asked.types, key.as_ref()).await;
    let CreatedWebhook { webhook, replayed } = deed.end(created)?;
    let location = [(header::LOCATION, format!("{PATH}/{}", webhook.id))];
    let shown =
        if replayed { WebhookBody::of(&webhook) } else { WebhookBody::with_secret(&webhook) };
    let replayed = replayed.then_some([REPLAYED]);
    Ok((StatusCode::CREATED, location, replayed, axum::Json(shown)).into_response())
}

/// Lists the caller's webhooks by id; without authentication all.
#[utoipa::path(
    get, path = "/api/v1/webhooks", operation_id = "listWebhooks", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(
        ("limit" = Option<i32>, Query, nullable = false, description = "Maximum webhooks in the list; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, nullable = false, pattern = "^[0-9]{0,18}$", description = "The next_cursor of the previous list"),
    ),
    responses(
        (status = 200, body = WebhookPage),
        (status = 403, headers(("WWW-Authenticate" = String)), description = "forbidden: the token lacks webhooks:write"),
        (status = 422, description = "validation_failed"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    uri: Uri,
) -> Result<axum::Json<WebhookPage>, Problem> {
    let (after, limit) = asked_page(&uri)?;
    let _permit = api.permit()?;
    let after = after.map(WebhookId);
    // One more than the limit shows whether there are more.
    let mut webhooks = api.webhooks.list(owner_of(&caller), after, limit + 1).await?;
    let next_cursor = cut(&mut webhooks, limit).map(|last| last.id.to_string());
    let webhooks: Vec<_> = webhooks.iter().map(WebhookBody::of).collect();
    Ok(axum::Json(WebhookPage { count: webhooks.len(), webhooks, next_cursor }))
}

/// Reads a webhook, without its secret.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}", operation_id = "getWebhook", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 200, body = WebhookBody),
        (status = 403, headers(("WWW-Authenticate" = String)), description = "forbidden: the token lacks webhooks:write"),
        (status = 404, description = "not_found: no such webhook, or another caller's"),
    )
)]
pub(crate) async fn get(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    _: NoQuery,
    Id(id): Id,
) -> Result<axum::Json<WebhookBody>, Problem> {
    let _permit = api.permit()?;
    let webhook = find_owned(&api, &caller, WebhookId(id)).await?;
    Ok(axum::Json(WebhookBody::of(&webhook)))
}

/// Deletes a webhook, and its deliveries.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{id}", operation_id = "deleteWebhook", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(("id" = i64, Path, example = 1)),
    responses(
        (status = 204, description = "deleted"),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks webhooks:write, or a page of another origin"),
        (status = 404, description = "not_found: no such webhook, or another caller's"),
    )
)]
pub(crate) async fn delete(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    watch: Watch,
    _: NoQuery,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let _permit = api.permit()?;
    let mut deed = watch.begin(&caller, "webhook.delete", Logged::Always);
    let webhook = find(&api, &caller, id, &mut deed).await?;
    deed.end(api.webhooks.delete(webhook.id).await)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a webhook a new secret. The present one signs as well for 24 hours: receivers get both signatures.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/rotate", operation_id = "rotateWebhook", tag = "webhooks", security((), ("bearer" = ["webhooks:write"])),
    params(
        ("id" = i64, Path, example = 1),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request among the caller's",
            nullable = false, pattern = r#"^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#, example = "rotate-7"),
    ),
    request_body = Option<Empty>,
    responses(
        (status = 200, body = RotatedBody, headers(("Idempotent-Replayed" = String))),
        (status = 403, headers(("WWW-Authenticate" = String)),
            description = "forbidden: the token lacks webhooks:write, or a page of another origin"),
        (status = 404, description = "not_found: no such webhook, or another caller's"),
        (status = 422, description = "validation_failed, idempotency_key_reused"),
    )
)]
pub(crate) async fn rotate(
    State(api): State<Arc<Api>>,
    MayWriteWebhooks(caller): MayWriteWebhooks,
    watch: Watch,
    _: NoQuery,
    headers: HeaderMap,
    Id(id): Id,
    OptionalJson(Empty {}, mut invalid): OptionalJson<Empty>,
) -> Result<Response, Problem> {
    let _permit = api.permit()?;
    let key = request_key::of_caller(ROTATE_PATH, &caller, &headers, &id, &mut invalid);
    invalid.or(())?;
    let mut deed = watch.begin(&caller, "webhook.rotate", Logged::Always);
    let webhook = find(&api, &caller, id, &mut deed).await?;
    let rotated = deed.end(api.webhooks.rotate(webhook.id, key.as_ref()).await)?;
    let secret = (!rotated.replayed).then_some(&rotated.webhook.secret);
    let body = axum::Json(RotatedBody::of(secret));
    Ok((rotated.replayed.then_some([REPLAYED]), body).into_response())
}

/// The owner whose webhooks a caller sees; `None`: all.
fn owner_of(caller: &Caller) -> Option<UserId> {
    match caller {
        Caller::Known { user, .. } => Some(*user),
        Caller::Anyone | Caller::Anonymous => None,
    }
}

/// A webhook that the caller may see. Another's is not found: the answer must not tell which ids exist.
async fn find_owned(api: &Api, caller: &Caller, id: WebhookId) -> Result<Webhook, Problem> {
    let webhook = api.webhooks.webhook(id).await?;
    if owner_of(caller).is_none_or(|owner| owner == webhook.owner) {
        return Ok(webhook);
    }
    Err(Problem::from(Error::NoWebhook(id)).refusing("the webhook is another caller's"))
}

/// As [`find_owned`], for a request that is audited.
async fn find(api: &Api, caller: &Caller, id: i64, deed: &mut Deed) -> Result<Webhook, Problem> {
    let found = find_owned(api, caller, WebhookId(id)).await;
    let webhook = deed.check(found)?;
    deed.user = Some(webhook.owner);
    Ok(webhook)
}

/// The id after or before which a page begins, and its length. 400 for what can't be read, else 422.
fn asked_page(uri: &Uri) -> Result<(Option<i64>, usize), Problem> {
    let query = Query::of(uri)?;
    let (mut unreadable, mut invalid) = (Invalid::default(), Invalid::default());
    query.only(&["limit", "cursor"], &mut unreadable);
    let limit = asked_limit(&query, &mut unreadable);
    let cursor: Option<IdCursor> = query.read_text("cursor", CURSOR_RULE, &mut unreadable);
    readable(unreadable)?;
    check_limit(limit, &mut invalid);
    invalid.or(())?;
    Ok((cursor.map(|IdCursor(id)| id), limit))
}
