//! The resources. Each file parses requests, makes one call, and shapes the answers.

pub(crate) mod bookings;
pub(crate) mod calendar;
pub(crate) mod changing;
pub(crate) mod disruption;
mod errors;
pub(crate) mod events;
pub(crate) mod fare_rules;
pub(crate) mod flights;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod itineraries;
mod lists;
mod part;
mod party;
pub(crate) mod passengers;
pub(crate) mod paying;
mod payment;
mod places;
mod placing;
pub(crate) mod problems;
mod quote;
pub(crate) mod refunds;
pub(crate) mod sales;
pub(crate) mod sandbox;
pub(crate) mod search;
pub(crate) mod stripe_events;
pub(crate) mod tickets;
pub(crate) mod timeline;
pub(crate) mod waitlist;
pub(crate) mod webhooks;

use crate::booking::{Bookings, Flights, WaitingList};
use crate::domain::{References, SeatCount, UserId};
use crate::events::{Events, LiveEvents};
use crate::health::Health;
use crate::http::wire::problem::{Code, Problem};
use crate::http::wire::{EventLimit, ExtractorState, UserLimit};
use crate::identity::{Caller, Scope, Tickets, Tokens};
use crate::itineraries::Itineraries;
use crate::limits::Once;
use crate::search::Search;
use crate::telemetry::Metrics;
use crate::webhooks::Registry;
pub use sandbox::SandboxPage;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
pub use stripe_events::StripeWebhooks;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What the handlers work with.
pub struct Api {
    /// Booking use cases.
    pub bookings: Bookings,
    /// Waiting list use cases.
    pub waiting_list: WaitingList,
    /// Flight use cases.
    pub flights: Flights,
    /// Webhook use cases.
    pub webhooks: Registry,
    /// Searches.
    pub search: Search,
    /// Searches for connections.
    pub itineraries: Itineraries,
    /// Reads the log of events.
    pub events: Events,
    /// Streams of events.
    pub live: LiveEvents,
    /// Which dependencies answer.
    pub health: Health,
    /// Counters.
    pub metrics: Metrics,
    /// True from the moment a stop was requested.
    pub draining: Arc<AtomicBool>,
    /// Bounds of a request.
    pub limits: HttpLimits,
    /// Checks callers' tokens; `None` with `AUTH=off`: every caller may do everything.
    pub tokens: Option<Arc<Tokens>>,
    /// Makes and reads tickets for streams.
    pub tickets: Tickets,
    /// Notes which tickets were used.
    pub once: Arc<Once>,
    /// Permits of the requests in flight (`MAX_IN_FLIGHT`).
    pub in_flight: Semaphore,
    /// Counts the requests of each token's user; `None`: no limit.
    pub(crate) user_limit: Option<Arc<dyn UserLimit>>,
    /// Routes beside the API.
    pub shown: Shown,
    /// What answers show beside rows.
    pub pages: Pages,
    /// The simulated gateway's page; `None`: another gateway takes the payments.
    pub sandbox: Option<SandboxPage>,
    /// Stripe's webhooks; `None`: there is no endpoint for them.
    pub stripe: Option<StripeWebhooks>,
    /// Counts the events of the payment provider.
    pub(crate) event_limit: Arc<dyn EventLimit>,
}

/// What answers show beside rows: the pages around a payment, where they are and to where they lead, and booking
/// references.
#[derive(Debug, Clone)]
pub struct Pages {
    /// The origin of the service as payers see it (`PUBLIC_URL`).
    pub public_url: Option<String>,
    /// Other origins to which a payer may return (`RETURN_ORIGINS`).
    pub return_origins: Vec<String>,
    /// The references of orders.
    pub references: References,
}

/// Routes that a port answers beside the API.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// `/docs` and `/openapi.json` (`DOCS`).
    pub docs: bool,
    /// `/metrics`, unless it has a port of its own (`METRICS_PORT`).
    pub metrics: bool,
    /// Stripe's webhooks (`STRIPE_WEBHOOK_SECRETS`).
    pub webhooks: bool,
}

/// Bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Maximum seats in one booking (`MAX_PARTY_SIZE`).
    pub party_size_max: SeatCount,
    /// Maximum unpaid seats of one user on one flight (`MAX_PENDING_PER_USER`); `None`: no limit.
    pub pending_max: Option<SeatCount>,
    /// How long a body may take to arrive (`SERVER_READ_TIMEOUT`).
    pub read_timeout: Duration,
}

impl Api {
    /// A permit to work on a request (`MAX_IN_FLIGHT`), or the refusal while none is free.
    ///
    /// Handlers take it after the extractors, so a request holds none while its body arrives or while
    /// the key of its token is fetched from the issuer: slow callers take no capacity from the others. Probes
    /// take none.
    pub(crate) fn permit(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.in_flight.try_acquire().map_err(|_| {
            Problem::new(Code::Overloaded, "MAX_IN_FLIGHT requests are being worked on")
        })
    }

    /// Maximum unpaid seats on one flight of the user for whom the caller asks; `None`: no limit, as for staff.
    fn pending_max(&self, caller: &Caller) -> Option<SeatCount> {
        self.limits.pending_max.filter(|_| !caller.has_staff_token(Scope::BookingsAdmin))
    }
}

impl ExtractorState for Arc<Api> {
    fn read_timeout(&self) -> Duration {
        self.limits.read_timeout
    }

    fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_deref()
    }

    fn count(&self, user: UserId) -> Result<(), Problem> {
        self.user_limit.as_ref().map_or(Ok(()), |limit| limit.count(user))
    }
}
