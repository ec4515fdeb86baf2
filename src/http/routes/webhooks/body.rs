//! The JSON of webhooks and deliveries.

use crate::domain::{
    AirlineEvent, Delivery, DeliveryId, DeliveryStatus, Invalid, SigningSecret, Timestamp, Webhook,
    WebhookId, WebhookStatus, WebhookUrl,
};
use crate::http::wire::json::fields::required;
use crate::http::wire::json::shape::{Kind, Shape, Shaped};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A webhook to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "url": "https://partner.example/hooks", "types": ["booking.completed", "flight.cancelled"]
}))]
pub(crate) struct NewWebhookBody {
    /// `https:`, without user name, password and fragment. It must not lead to a private network.
    #[schema(
        required,
        nullable = false,
        max_length = 2000,
        example = "https://partner.example/hooks"
    )]
    url: Option<String>,
    /// The types of the events that go there, as on the topic `airline-events`; at least one.
    #[schema(required, nullable = false, min_items = 1, schema_with = types)]
    types: Option<Vec<String>>,
}

/// The schema of a list of types.
fn types() -> utoipa::openapi::schema::Array {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
    let word = ObjectBuilder::new().schema_type(Type::String);
    let word = word.enum_values(Some(AirlineEvent::KINDS.iter().copied()));
    ArrayBuilder::new()
        .items(word)
        .min_items(Some(1))
        .description(Some("The types of the events that go there; at least one."))
        .build()
}

impl Shaped for NewWebhookBody {
    const SHAPE: Shape = Shape {
        fields: &[("url", Kind::Text), ("types", Kind::Texts)],
        ignored: &["webhook_id", "secret", "status", "failing_since", "created_at"],
    };
}

/// What a sound body asks for.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    #[serde(serialize_with = "as_text")]
    pub(super) url: WebhookUrl,
    pub(super) types: Arc<[Arc<str>]>,
}

fn as_text<S: serde::Serializer>(url: &WebhookUrl, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}

impl NewWebhookBody {
    /// Checks the fields; notes the rules that they break.
    pub(super) fn check(self, is_private_allowed: bool, invalid: &mut Invalid) -> Option<Asked> {
        let url = required(invalid, "url", self.url);
        let url = url.and_then(|text| {
            let read = WebhookUrl::read(&text, is_private_allowed);
            read.map_err(|rule| invalid.add("/url", rule.to_string())).ok()
        });
        let types = required(invalid, "types", self.types).map(|types| known(&types, invalid));
        Some(Asked { url: url?, types: types?.into() })
    }
}

/// The types, each once, in the order of the service's list.
fn known(types: &[String], invalid: &mut Invalid) -> Vec<Arc<str>> {
    if types.is_empty() {
        invalid.add("/types", "must have one type or more");
    }
    let is_known = |kind: &str| AirlineEvent::KINDS.contains(&kind);
    let unknown = types.iter().enumerate().filter(|(_, kind)| !is_known(kind));
    for (place, _) in unknown.take(AirlineEvent::KINDS.len()) {
        let rule = format!("must be one of {}", AirlineEvent::KINDS.join(", "));
        invalid.add(format!("/types/{place}"), rule);
    }
    let asked = AirlineEvent::KINDS.iter().filter(|kind| types.iter().any(|its| its == *kind));
    asked.map(|kind| Arc::from(*kind)).collect()
}

/// A webhook.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookBody {
    webhook_id: WebhookId,
    /// Where events go.
    #[schema(value_type = String, example = "https://partner.example/hooks")]
    url: String,
    /// The types of the events that go there.
    #[schema(schema_with = types)]
    types: Arc<[Arc<str>]>,
    /// Signs what is sent. Shown once: to the request that made the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    secret: Option<String>,
    status: WebhookStatus,
    /// When the first delivery failed since the last that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, required = false, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl WebhookBody {
    /// A webhook without its secret.
    pub(super) fn of(webhook: &Webhook) -> Self {
        Self {
            webhook_id: webhook.id,
            url: webhook.url.to_string(),
            types: webhook.types.clone(),
            secret: None,
            status: webhook.status,
            failing_since: webhook.failing_since,
            created_at: webhook.created_at,
        }
    }

    /// A webhook for the request that made it.
    pub(super) fn with_secret(webhook: &Webhook) -> Self {
        Self { secret: Some(webhook.secret.expose().to_owned()), ..Self::of(webhook) }
    }
}

/// A page of webhooks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WebhookPage {
    /// By id.
    pub(super) webhooks: Vec<WebhookBody>,
    /// Number of webhooks in the list.
    pub(super) count: usize,
    /// The `cursor` of the next request, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_cursor: Option<String>,
}

/// The answer to a rotation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RotatedBody {
    /// The new secret. Shown once: a repeat of the request does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    secret: Option<String>,
}

impl RotatedBody {
    pub(super) fn of(secret: Option<&SigningSecret>) -> Self {
        Self { secret: secret.map(|secret| secret.expose().to_owned()) }
    }
}

/// A delivery of an event to a webhook.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryBody {
    id: DeliveryId,
    /// The event's id, which receivers get as `webhook-id`.
    #[schema(value_type = String, example = "booking.completed/42")]
    event_id: Arc<str>,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "booking.completed")]
    kind: Arc<str>,
    status: DeliveryStatus,
    /// How often it was sent.
    #[schema(minimum = 0)]
    attempts: i32,
    /// Status of the last answer; `null`: there was none.
    #[schema(required)]
    response_status: Option<i32>,
    /// When the event was taken up.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<Delivery> for DeliveryBody {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            event_id: delivery.event_id,
            kind: delivery.kind,
            status: delivery.status,
            attempts: delivery.attempts,
            response_status: delivery.response_status,
            at: delivery.at,
        }
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveryPage {
    /// Newest first.
    pub(super) deliveries: Vec<DeliveryBody>,
    /// The `cursor` of the next request, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_cursor: Option<String>,
}
