//! Webhooks: where partners get events, and the deliveries to them.

mod address;
mod secret;
mod url;

use super::{DeliveryId, FlightId, Timestamp, UserId, WebhookId};
use serde::Serialize;
use std::sync::Arc;
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use address::is_public;
pub use secret::SigningSecret;
pub use url::{NoWebhookUrl, WebhookUrl};

/// Maximum webhooks of one owner.
pub const WEBHOOKS_MAX: i64 = 100;

/// The type of the event that a ping sends.
pub const PING: &str = "webhook.ping";

/// The state of a webhook.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WebhookStatus {
    /// Its events are delivered.
    Active,
    /// It failed for days, or said that it is gone (410). Events pass it by until a ping or a repeated delivery
    /// succeeds.
    Disabled,
}

impl WebhookStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The state of a delivery.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryStatus {
    /// It is sent, again and again, until it succeeds or its attempts are used up.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// Its attempts are used up, or its webhook was disabled.
    Failed,
}

impl DeliveryStatus {
    /// The word on the wire and in the databases.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The secret before the last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret.
    pub secret: SigningSecret,
    /// Until when it signs beside the new one.
    pub until: Timestamp,
}

/// A partner's endpoint for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Id.
    pub id: WebhookId,
    /// The user of the token that made it; 0 without tokens.
    pub owner: UserId,
    /// Where events go.
    pub url: WebhookUrl,
    /// The types of the events that go there.
    pub types: Arc<[Arc<str>]>,
    /// Signs what is sent.
    pub secret: SigningSecret,
    /// Signs beside it for a time, after a rotation.
    pub old_secret: Option<OldSecret>,
    /// State.
    pub status: WebhookStatus,
    /// When the first delivery failed since the last that succeeded.
    pub failing_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Webhook {
    /// Whether events of this type go there.
    pub fn takes(&self, kind: &str) -> bool {
        self.types.iter().any(|its| **its == *kind)
    }

    /// The secrets that sign at this time, the newest first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &SigningSecret> {
        let old = self.old_secret.as_ref().filter(move |old| old.until > now);
        std::iter::once(&self.secret).chain(old.map(|old| &old.secret))
    }
}

/// A webhook to make.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// As [`Webhook::owner`].
    pub owner: UserId,
    /// As [`Webhook::url`].
    pub url: WebhookUrl,
    /// As [`Webhook::types`].
    pub types: Arc<[Arc<str>]>,
    /// As [`Webhook::secret`].
    pub secret: SigningSecret,
}

/// An event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Id. Those of one flight are in the order of its events.
    pub id: DeliveryId,
    /// The webhook.
    pub webhook: WebhookId,
    /// The event's id: the same however often it is sent.
    pub event_id: Arc<str>,
    /// The event's type.
    pub kind: Arc<str>,
    /// The flight of the event, whose deliveries go out one after the other; `None`: it waits for none.
    pub flight: Option<FlightId>,
    /// The body that is sent.
    pub payload: Arc<str>,
    /// State.
    pub status: DeliveryStatus,
    /// How often it was sent.
    pub attempts: i32,
    /// Status of the last answer; `None`: there was none.
    pub response_status: Option<i32>,
    /// When the event was taken up.
    pub at: Timestamp,
}

/// An event to deliver to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// As [`Delivery::webhook`].
    pub webhook: WebhookId,
    /// As [`Delivery::event_id`].
    pub event_id: Arc<str>,
    /// As [`Delivery::kind`].
    pub kind: Arc<str>,
    /// As [`Delivery::flight`].
    pub flight: Option<FlightId>,
    /// As [`Delivery::payload`].
    pub payload: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_before_a_rotation_signs_until_its_time_is_over() {
        let at = |second| Timestamp::from_timestamp(second, 0).expect("an instant");
        let secret = |byte| SigningSecret::of(&[byte; 32]);
        let webhook = Webhook {
            id: WebhookId(1),
            owner: UserId(0),
            url: WebhookUrl::stored("https://example.com/"),
            types: Arc::from([Arc::from("booking.completed")]),
            secret: secret(2),
            old_secret: Some(OldSecret { secret: secret(1), until: at(100) }),
            status: WebhookStatus::Active,
            failing_since: None,
            created_at: at(0),
        };
        assert_eq!(webhook.secrets(at(99)).collect::<Vec<_>>(), [&secret(2), &secret(1)]);
        assert_eq!(webhook.secrets(at(100)).collect::<Vec<_>>(), [&secret(2)]);
        assert!(webhook.takes("booking.completed") && !webhook.takes("booking.failed"));
    }
}
