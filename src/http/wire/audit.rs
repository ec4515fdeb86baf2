//! Lines of the log's target `audit`: what a caller with a token reads of others' bookings, and changes
//! for others or of flights. Who, what, whose, and how it ended: numbers and words, no personal data.

use crate::domain::{BookingId, FlightId, UserId};
use crate::http::wire::problem::Problem;
use crate::identity::Caller;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::convert::Infallible;
use tower_http::request_id::RequestId;
use tracing::info;

/// How a deed ends that nobody ends: its caller waited too long, or it panicked.
const UNKNOWN: &str = "unknown";

/// Notes deeds of one request.
pub(crate) struct Watch(Option<RequestId>);

impl<S: Send + Sync> FromRequestParts<S> for Watch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::over(parts))
    }
}

impl Watch {
    /// Over the request that these are parts of.
    pub(crate) fn over(parts: &Parts) -> Self {
        Self(parts.extensions.get().cloned())
    }

    /// What the caller is about to do; it has a line when it is dropped, if it is anyone's concern.
    pub(crate) fn begin(self, caller: &Caller, action: &'static str) -> Deed {
        let subject = match caller {
            Caller::Known { user, .. } => Some(*user),
            Caller::Anyone => None,
        };
        let Self(request) = self;
        Deed { request, subject, action, user: None, booking: None, flight: None, outcome: UNKNOWN }
    }
}

/// Something that a caller does.
pub(crate) struct Deed {
    request: Option<RequestId>,
    /// `None`: there are no identities, and so nobody to name.
    subject: Option<UserId>,
    action: &'static str,
    /// Whose booking it is about; `None`: not known, or about a flight.
    pub(crate) user: Option<UserId>,
    pub(crate) booking: Option<BookingId>,
    pub(crate) flight: Option<FlightId>,
    outcome: &'static str,
}

impl Deed {
    /// Goes on, unless it is refused here.
    pub(crate) fn check<T, E: Into<Problem>>(
        &mut self,
        checked: Result<T, E>,
    ) -> Result<T, Problem> {
        checked.map_err(Into::into).inspect_err(|problem| self.outcome = problem.code().as_str())
    }

    /// Is done, or refused.
    pub(crate) fn end<T, E: Into<Problem>>(&mut self, ended: Result<T, E>) -> Result<T, Problem> {
        self.outcome = "done";
        self.check(ended)
    }

    /// A deed about the caller's own bookings has no line, nor has one about a booking without a known
    /// owner.
    fn is_told(&self) -> bool {
        match self.user {
            Some(user) => Some(user) != self.subject,
            None => self.action.starts_with("flight."),
        }
    }
}

impl Drop for Deed {
    fn drop(&mut self) {
        let Some(subject) = self.subject.filter(|_| self.is_told()) else { return };
        let request_id = self.request.as_ref().and_then(|id| id.header_value().to_str().ok());
        let (action, outcome) = (self.action, self.outcome);
        let user = self.user.map(|user| user.0);
        let booking = self.booking.map(|booking| booking.0);
        let flight = self.flight.map(|flight| flight.0);
        info!(
            target: "audit", request_id, subject = subject.0, action, user, booking, flight, outcome,
            "audit"
        );
    }
}
