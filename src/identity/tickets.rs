//! Tickets: a caller's right to one stream, for callers that cannot send a header (browsers' `EventSource`).
//!
//! A ticket is its own record, signed with HMAC-SHA256: what it is for, whose it is, and when it ends. So replicas need
//! no table of tickets; only that one was used is noted (`limits`).

use super::{Caller, Scope};
use crate::clock::Clock;
use crate::domain::{Timestamp, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::Arc;

/// How long a ticket is valid.
pub const TICKET_TTL: TimeDelta = TimeDelta::seconds(60);

/// Bytes of a signature.
const SIGNATURE: usize = 32;

/// Maximum characters of a ticket.
const TICKET_MAX: usize = 1_024;

/// Makes and reads tickets.
pub struct Tickets {
    key: Hmac<Sha256>,
    clock: Arc<dyn Clock>,
}

/// What a ticket says.
#[derive(Serialize, Deserialize)]
struct Content {
    /// Makes each ticket another one.
    nonce: [u8; 16],
    resource: String,
    /// In seconds since 1970.
    ends_at: i64,
    /// `None`: of a caller with `AUTH=off`.
    user: Option<UserId>,
    /// The one scope that a stream asks for.
    bookings_admin: bool,
}

/// A ticket that was read.
#[derive(Debug)]
pub struct Ticket {
    /// Whose it is.
    pub caller: Caller,
    /// The name by which its use is noted.
    pub name: String,
}

impl Tickets {
    /// Tickets signed with this key, the same in each replica.
    pub fn new(key: &[u8; 32], clock: Arc<dyn Clock>) -> Self {
        let key = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { key, clock }
    }

    /// A ticket of a caller for a resource, and when it ends.
    pub fn issue(&self, caller: &Caller, resource: &str) -> (String, Timestamp) {
        let ends_at = self.clock.now() + TICKET_TTL;
        let mut nonce = [0; 16];
        SystemRandom::new().fill(&mut nonce).expect("the system has random bytes");
        let user = match caller {
            Caller::Known { user, .. } => Some(*user),
            Caller::Anyone | Caller::Anonymous => None,
        };
        let content = Content {
            nonce,
            resource: resource.to_owned(),
            ends_at: ends_at.timestamp(),
            user,
            bookings_admin: caller.may(Scope::BookingsAdmin),
        };
        let mut bytes = serde_json::to_vec(&content).expect("plain data is always JSON");
        let signature = self.key.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature);
        (URL_SAFE_NO_PAD.encode(bytes), ends_at)
    }

    /// Reads a ticket for a resource; `None` if it is none, is for another, or has ended. `is_open`: with `AUTH=off`,
    /// where tickets name no user.
    pub fn read(&self, text: &str, resource: &str, is_open: bool) -> Option<Ticket> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= TICKET_MAX)?;
        let (content, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
        // Compared in constant time.
        self.key.clone().chain_update(content).verify_slice(signature).ok()?;
        let content: Content = serde_json::from_slice(content).ok()?;
        let is_valid =
            content.resource == resource && self.clock.now().timestamp() < content.ends_at;
        let caller = match content.user {
            Some(user) => Caller::Known {
                user,
                flights_write: false,
                webhooks_write: false,
                bookings_admin: content.bookings_admin,
            },
            None if is_open => Caller::Anyone,
            None => return None,
        };
        is_valid.then(|| Ticket { caller, name: URL_SAFE_NO_PAD.encode(content.nonce) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const USER: Caller = Caller::Known {
        user: UserId(7),
        flights_write: false,
        bookings_admin: true,
        webhooks_write: false,
    };

    fn tickets() -> (Tickets, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().expect("an instant")));
        (Tickets::new(&[7; 32], clock.clone()), clock)
    }

    #[test]
    fn a_ticket_is_its_callers_for_its_resource_and_a_minute() {
        let (tickets, clock) = tickets();
        let (text, _) = tickets.issue(&USER, "/bookings/7");
        let (other, _) = tickets.issue(&USER, "/bookings/7");
        let name = |text: &str| tickets.read(text, "/bookings/7", false).expect("sound").name;
        assert_eq!(tickets.read(&text, "/bookings/7", false).expect("sound").caller, USER);
        assert_ne!(name(&text), name(&other));
        assert!(tickets.read(&text, "/bookings/8", false).is_none());
        clock.advance(TimeDelta::seconds(59));
        assert!(tickets.read(&text, "/bookings/7", false).is_some());
        clock.advance(TimeDelta::seconds(1));
        assert!(tickets.read(&text, "/bookings/7", false).is_none());
    }

    #[test]
    fn a_text_that_was_changed_or_signed_with_another_key_is_no_ticket() {
        let (tickets, clock) = tickets();
        let (text, _) = tickets.issue(&USER, "/bookings/7");
        let (foreign, _) = Tickets::new(&[8; 32], clock).issue(&USER, "/bookings/7");
        let mut bytes = URL_SAFE_NO_PAD.decode(&text).expect("base64");
        bytes[70] ^= 1;
        let changed = URL_SAFE_NO_PAD.encode(bytes);
        for text in ["", "AAAA", &text[1..], &foreign, &changed] {
            assert!(tickets.read(text, "/bookings/7", false).is_none(), "{text}");
        }
    }

    #[test]
    fn a_ticket_without_a_user_is_valid_only_where_no_caller_needs_a_token() {
        let (tickets, _) = tickets();
        let (text, _) = tickets.issue(&Caller::Anyone, "/flights/1");
        let caller = tickets.read(&text, "/flights/1", true).map(|ticket| ticket.caller);
        assert_eq!(caller, Some(Caller::Anyone));
        assert!(tickets.read(&text, "/flights/1", false).is_none());
    }
}
