//! Promotions: walks along the lines of flights, queued by the commits that make them due.

use super::door::Engine;
use super::job::Job;
use crate::domain::{FlightId, FlightIds};
use crate::rules::Command;
use crate::telemetry::TraceContext;
use tracing::debug;

impl Engine {
    /// Queues the promotion of these flights, unless one waits already. It needs no room in the queue: each flight
    /// has one at most. If it fails, the sweeper finds its work.
    pub(super) fn promote_soon(&self, flights: impl IntoIterator<Item = FlightId>) {
        for flight in flights {
            if !self.shared.promotions.lock().insert(flight) {
                continue;
            }
            let (command, flights) = (Command::Promote(flight), FlightIds::from([flight]));
            let span = self.span_of(&command, &flights, &TraceContext::NONE);
            let (job, answer) = Job::new(command, flights, span, false);
            self.shared.scheduler.lock().push(job);
            self.shared.parts.tasks.spawn(async move {
                if let Ok(Err(error)) = answer.await {
                    debug!(flight.id = %flight, %error, "a promotion failed; the sweeper repeats it");
                }
            });
        }
    }
}
