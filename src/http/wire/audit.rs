//! The audit log (target `audit`): with `AUTH=jwt`, a line for each request that reads or changes bookings of
//! another user than its token's, or changes flights. It has the caller, the action, the owner and the outcome, as
//! numbers and words without personal data.

use crate::domain::{BookingId, FlightId, UserId};
use crate::http::wire::problem::Problem;
use crate::http::wire::request_id::RequestId;
use crate::identity::Caller;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::convert::Infallible;
use tracing::info;

/// The outcome of an action that was dropped before its end: after a time-out or a panic.
const UNKNOWN: &str = "unknown";

/// The outcome of an action that succeeded.
const DONE: &str = "done";

/// Which of an action's requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logged {
    /// All: the action concerns flights, or the data of many users.
    Always,
    /// Those about another user's bookings. [`Deed::user`] names the owner. A request that succeeds without
    /// an owner gets a line too: its handler may have forgotten to set it. A request that fails without an
    /// owner has found no booking and gets none.
    UnlessOwn,
}

/// Extractor: starts the audit of a request's action.
pub(crate) struct Watch(Option<RequestId>);

impl<S: Send + Sync> FromRequestParts<S> for Watch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::over(parts))
    }
}

impl Watch {
    /// For the request with these parts.
    pub(crate) fn over(parts: &Parts) -> Self {
        Self(parts.extensions.get().cloned())
    }

    /// Begins an action. When it is dropped, it writes its line, if it needs one.
    pub(crate) fn begin(self, caller: &Caller, action: &'static str, logged: Logged) -> Deed {
        let subject = match caller {
            Caller::Known { user, .. } => Some(*user),
            Caller::Anonymous | Caller::Anyone => None,
        };
        let Self(request) = self;
        Deed {
            request,
            is_audited: *caller != Caller::Anyone,
            subject,
            action,
            logged,
            user: None,
            booking: None,
            flight: None,
            outcome: UNKNOWN,
        }
    }
}

/// An action of a caller.
pub(crate) struct Deed {
    request: Option<RequestId>,
    /// False with `AUTH=off`: no line is written.
    is_audited: bool,
    /// The user of the token; `None` without one.
    subject: Option<UserId>,
    action: &'static str,
    logged: Logged,
    /// The owner of the booking; `None` while unknown, and for flights.
    pub(crate) user: Option<UserId>,
    pub(crate) booking: Option<BookingId>,
    pub(crate) flight: Option<FlightId>,
    outcome: &'static str,
}

impl Deed {
    /// Passes a result on; an error becomes the outcome.
    pub(crate) fn check<T, E: Into<Problem>>(
        &mut self,
        checked: Result<T, E>,
    ) -> Result<T, Problem> {
        checked.map_err(Into::into).inspect_err(|problem| self.outcome = problem.code().as_str())
    }

    /// Ends the action: done, or refused with the error.
    pub(crate) fn end<T, E: Into<Problem>>(&mut self, ended: Result<T, E>) -> Result<T, Problem> {
        self.outcome = DONE;
        self.check(ended)
    }

    fn is_logged(&self) -> bool {
        self.is_audited
            && match (self.logged, self.user) {
                (Logged::Always, _) => true,
                (Logged::UnlessOwn, Some(user)) => Some(user) != self.subject,
                (Logged::UnlessOwn, None) => self.outcome == DONE,
            }
    }
}

impl Drop for Deed {
    fn drop(&mut self) {
        if !self.is_logged() {
            return;
        }
        let subject = self.subject.map(|user| user.0);
        let request_id = self.request.as_ref().map(RequestId::as_str);
        let (action, outcome) = (self.action, self.outcome);
        let user = self.user.map(|user| user.0);
        let booking = self.booking.map(|booking| booking.0);
        let flight = self.flight.map(|flight| flight.0);
        info!(
            target: "audit", request_id, subject, action, user, booking, flight, outcome,
            "audit"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Deed, Logged, Watch};
    use crate::domain::UserId;
    use crate::http::wire::problem::{Code, Problem};
    use crate::identity::Caller;

    fn list_of(owner: Option<i64>, logged: Logged) -> Deed {
        let caller = Caller::Known {
            user: UserId(7),
            flights_write: false,
            bookings_admin: true,
            webhooks_write: false,
        };
        let mut deed = Watch(None).begin(&caller, "bookings.list", logged);
        deed.user = owner.map(UserId);
        deed
    }

    fn succeeded(mut deed: Deed) -> Deed {
        assert!(deed.end(Ok::<(), Problem>(())).is_ok());
        deed
    }

    fn failed(mut deed: Deed) -> Deed {
        assert!(deed.end(Err::<(), _>(Problem::new(Code::NotFound, "no such booking"))).is_err());
        deed
    }

    #[test]
    fn an_action_that_is_always_logged_needs_no_owner() {
        assert!(succeeded(list_of(None, Logged::Always)).is_logged());
        assert!(failed(list_of(None, Logged::Always)).is_logged());
        assert!(list_of(None, Logged::Always).is_logged(), "dropped before its end");
    }

    #[test]
    fn another_users_bookings_are_logged_and_the_callers_own_are_not() {
        assert!(succeeded(list_of(Some(8), Logged::UnlessOwn)).is_logged());
        assert!(!succeeded(list_of(Some(7), Logged::UnlessOwn)).is_logged());
    }

    #[test]
    fn what_is_read_without_a_token_is_logged_unless_no_one_has_any() {
        for (caller, is_logged) in [(Caller::Anonymous, true), (Caller::Anyone, false)] {
            let mut deed = Watch(None).begin(&caller, "booking.find", Logged::UnlessOwn);
            deed.user = Some(UserId(8));
            assert_eq!(succeeded(deed).is_logged(), is_logged, "{caller:?}");
        }
    }

    #[test]
    fn an_action_that_succeeds_without_an_owner_is_logged() {
        assert!(succeeded(list_of(None, Logged::UnlessOwn)).is_logged());
        assert!(!failed(list_of(None, Logged::UnlessOwn)).is_logged());
    }
}
