//! The access log: one line a request.

use super::Kind;
use super::refusals::Refusals;
use crate::http::wire::problem::Problem;
use crate::telemetry::Span;
use http::StatusCode;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tracing::{Level, enabled, event, field};

/// A request's line. Its target is `access`, so that `RUST_LOG=info,access=warn` silences it.
pub(super) struct AccessLog<'a> {
    pub(super) id: &'a str,
    pub(super) kind: Kind,
    pub(super) method: &'static str,
    pub(super) route: &'a str,
    pub(super) status: StatusCode,
    pub(super) took: Duration,
    pub(super) is_slow: bool,
    /// `None` where the log's level leaves the line out.
    pub(super) client: Option<IpAddr>,
}

/// Writes a line at a level. A macro, because tracing needs the level as a constant.
macro_rules! line {
    ($level:expr, $text:literal, $line:ident, $trace_id:ident $(, $field:ident)*) => {
        event!(
            target: "access", $level, request_id = $line.id, trace_id = $trace_id,
            method = $line.method, route = $line.route, status = $line.status.as_u16(),
            duration_ms = $line.took.as_secs_f64() * 1e3, $($field,)* $text
        )
    };
}

impl AccessLog<'_> {
    /// Writes the line: a failure has its cause, a refusal its client and reason.
    pub(super) fn write(&self, problem: Option<&Problem>, span: &Span, refusals: &Refusals) {
        let cause = problem.and_then(Problem::cause);
        // Probes come every few seconds; only their failures are logged.
        let is_quiet = self.kind == Kind::Probe && !self.status.is_server_error() && !self.is_slow;
        let is_logged = if is_quiet {
            enabled!(target: "access", Level::DEBUG)
        } else {
            self.client.is_some() || cause.is_some()
        };
        if !is_logged {
            return;
        }
        let trace = span.context();
        let trace_id = trace.trace_id().map(field::display);
        let reason = problem.map(|problem| problem.code().as_str());
        if let Some(cause) = cause {
            line!(Level::ERROR, "failed", self, trace_id, reason, cause);
        } else if let Some(reason) = problem.and_then(Problem::refusal) {
            let Some(client) = self.client else { return };
            let Some(left_out) = refusals.take(client, Instant::now()) else { return };
            let left_out = (left_out > 0).then_some(left_out);
            let client = field::display(client);
            line!(Level::INFO, "refused", self, trace_id, reason, client, left_out);
        } else if self.is_slow {
            line!(Level::INFO, "slow", self, trace_id, reason);
        } else if is_quiet {
            line!(Level::DEBUG, "answered", self, trace_id);
        } else {
            line!(Level::INFO, "answered", self, trace_id, reason);
        }
    }
}
