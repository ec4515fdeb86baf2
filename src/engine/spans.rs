//! How a batch shows in traces and in the log.

use super::parts::EngineParts;
use super::ticket::Ticket;
use crate::store::StoreError;
use crate::telemetry::{Side, Span, TraceContext};

/// The span of a batch: below its command if it has only one, else a trace of its own, linked to
/// and from each. Each command's time in its line ends here.
pub(super) fn span_over(parts: &EngineParts, tickets: &[Ticket]) -> Span {
    let tracing = &parts.tracing;
    if !tracing.is_on() {
        return Span::NONE;
    }
    for ticket in tickets {
        let (line, waited) = (ticket.span.context(), ticket.arrived.elapsed());
        drop(tracing.span_since("booking.wait", Side::Internal, &line, waited));
    }
    let span = match tickets {
        [alone] => tracing.span("booking.batch", Side::Internal, &alone.span.context()),
        _ => {
            let sampled = tickets.iter().map(|t| t.span.context()).filter(TraceContext::is_sampled);
            let span = tracing.linked_span("booking.batch", Side::Internal, sampled);
            for ticket in tickets {
                ticket.span.link(&span.context());
            }
            span
        }
    };
    span.note("booking.batch.size", tickets.len() as i64);
    span
}

/// An error and its causes.
pub(super) fn source_chain(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(source)
        | StoreError::Locked(source)
        | StoreError::TimedOut(source)
        | StoreError::Refused(source) => {
            format!("{error}: {source:#}")
        }
        StoreError::Corrupt { .. } => error.to_string(),
    }
}
