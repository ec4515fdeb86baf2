//! Batches in traces, and errors in the log.

use crate::engine::EngineParts;
use crate::engine::job::Job;
use crate::store::StoreError;
use crate::telemetry::{Side, Span, TraceContext};

/// The span of a batch: a child of its command if there is only one, else the root of a new trace, linked
/// with each command. Also records each command's time in its queue.
pub(super) fn batch_span(parts: &EngineParts, jobs: &[Job]) -> Span {
    let tracing = &parts.tracing;
    if !tracing.is_on() {
        return Span::NONE;
    }
    for job in jobs {
        let (command, waited) = (job.span.context(), job.arrived.elapsed());
        drop(tracing.span_since("booking.wait", Side::Internal, &command, waited));
    }
    let span = match jobs {
        [alone] => tracing.span("booking.batch", Side::Internal, &alone.span.context()),
        _ => {
            let sampled =
                jobs.iter().map(|job| job.span.context()).filter(TraceContext::is_sampled);
            let span = tracing.linked_span("booking.batch", Side::Internal, sampled);
            for job in jobs {
                job.span.link(&span.context());
            }
            span
        }
    };
    span.note("booking.batch.size", jobs.len() as i64);
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
