//! Structured logs on standard error, filtered by `RUST_LOG` (default `info`).
//!
//! Logging never blocks: lines go to a writing thread through a bounded queue. If the queue is full they
//! are lost and counted (`log_lines_lost_total`). A panic is one line too.

use crate::config::LogFormat;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use tracing::error;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Maximum number of waiting lines: a few seconds of a busy service, and a few megabytes.
const LINES_MAX: usize = 16_384;

/// Maximum bytes written at once: each write has a fixed cost, so waiting lines share it.
const WRITE_BYTES: usize = 64 * 1024;

/// Lines of this process that were lost.
static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts logging for the whole process; call it once. The filter is written as in
/// `warn,airline_booking=debug`.
///
/// Dropping the guard writes the waiting lines, which takes about a second at most.
pub fn init(format: LogFormat, filter: &str) -> Result<WorkerGuard, ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let (writer, guard) = queue_to(io::stderr());
    // The first log of the process is the one that is counted.
    let _ = LOST.set(writer.error_counter());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        // Files and pipes get no colours.
        LogFormat::Pretty => {
            subscriber.with_target(false).with_ansi(io::stderr().is_terminal()).init();
        }
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// Number of lines that this process has lost.
pub(super) fn lines_lost() -> usize {
    LOST.get().map_or(0, ErrorCounter::dropped_lines)
}

fn queue_to(output: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("logs")
        .finish(BufWriter::with_capacity(WRITE_BYTES, output))
}

/// Logs the place of a panic; the failed request has a line of its own. A message that was formatted at
/// run time may quote a caller's data, so only a constant one is logged.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    let location = panic.location().map(tracing::field::display);
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    error!(panic.message = message, panic.location = location, panic.thread = thread, "panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    /// Keeps what is written, as long as the gate is open.
    #[derive(Clone, Default)]
    struct Page {
        text: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().expect("no panic");
            self.text.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn waiting_lines_are_written_at_the_end_in_order() {
        let page = Page::default();
        let (mut writer, guard) = queue_to(page.clone());
        let lines: Vec<_> = (0..1_000).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            writer.write_all(line.as_bytes()).expect("it never fails");
        }
        drop(guard);
        assert_eq!(*page.text.lock().expect("no panic"), lines.concat().into_bytes());
        writer.write_all(b"too late").expect("it never fails");
    }

    #[test]
    fn logging_does_not_wait_for_a_reader_that_does_not_read() {
        let page = Page::default();
        let shut = page.gate.lock().expect("no panic");
        let (mut writer, guard) = queue_to(page.clone());
        let began = Instant::now();
        for _ in 0..LINES_MAX + 2 * WRITE_BYTES / 100 {
            writer.write_all(&[b'x'; 100]).expect("it never fails");
        }
        // All are lost but those in the queue and those in the thread's buffer.
        assert!(writer.error_counter().dropped_lines() > 0);
        drop(guard);
        assert!(began.elapsed() < Duration::from_secs(3));
        drop(shut);
    }
}
