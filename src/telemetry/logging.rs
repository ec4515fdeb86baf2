//! Structured logs on standard error, filtered by `RUST_LOG` (default `info`).
//!
//! Whoever logs never waits for who reads: lines go to a thread through a queue with a bound, and
//! beyond it they are lost and counted. A panic is a line like any other.

use crate::config::LogFormat;
use std::io::{self, IsTerminal as _, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Lines that wait at most: some seconds of a busy service's, and a few megabytes.
const LINES_MAX: usize = 16_384;

/// Bytes that are written together, and a line more.
const BYTES_TOGETHER: usize = 64 * 1024;

/// How long the end of the process waits for what is left.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Starts logging for the whole process; once. The filter is written as in `warn,airline_booking=debug`.
///
/// What waits is written when the value is dropped.
pub fn init(format: LogFormat, filter: &str) -> Result<Logs, ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let (logs, queue) = Logs::to(io::stderr());
    let writer = move || queue.clone();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        // A file or a pipe wants no colours.
        LogFormat::Pretty => {
            subscriber.with_target(false).with_ansi(io::stderr().is_terminal()).init();
        }
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(tell_of_panic));
    Ok(logs)
}

/// Where, in one line; the request that it struck is told of by its own. A message that was put
/// together at run time may quote what callers sent, so only a constant one is repeated.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    let location = panic.location().map(tracing::field::display);
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    error!(panic.message = message, panic.location = location, panic.thread = thread, "panicked");
}

/// The thread that writes. When dropped it writes what waits, for a second at most, and ends.
pub struct Logs {
    queue: Queue,
    ended: Receiver<()>,
}

/// Where lines wait to be written. Cheap to clone.
#[derive(Clone)]
struct Queue {
    lines: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// The process ends.
    End,
}

impl Logs {
    /// Logs that go there, and where to put their lines.
    fn to(output: impl Write + Send + 'static) -> (Self, Queue) {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let (tell, ended) = sync_channel(1);
        let queue = Queue { lines, lost: Arc::default() };
        let lost = queue.lost.clone();
        let thread = std::thread::Builder::new().name("logs".into());
        let writes = thread.spawn(move || {
            write_all(&waiting, &lost, output);
            // Nobody waits where the process has ended without waiting.
            let _ = tell.send(());
        });
        // A service without a log still serves; the queue is closed then, and takes nothing.
        drop(writes);
        (Self { queue: queue.clone(), ended }, queue)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let until = Instant::now() + FLUSH_WITHIN;
        while let Err(TrySendError::Full(_)) = self.queue.lines.try_send(Message::End)
            && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl Write for Queue {
    /// Takes a whole line, as the subscriber writes them.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines until the end comes: those that wait together, since each write costs the same.
fn write_all(waiting: &Receiver<Message>, lost: &AtomicU64, mut output: impl Write) {
    let mut together = Vec::new();
    let mut is_open = true;
    while is_open && let Ok(first) = waiting.recv() {
        let more = std::iter::from_fn(|| waiting.try_recv().ok());
        for message in std::iter::once(first).chain(more) {
            match message {
                Message::Line(line) => together.extend_from_slice(&line),
                Message::End => is_open = false,
            }
            if !is_open || together.len() > BYTES_TOGETHER {
                break;
            }
        }
        // There is nowhere left to tell of a log that can't be written.
        let _ = output.write_all(&together).and_then(|()| output.flush());
        together.clear();
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!(lost, "lines of the log were lost: whoever reads it is too slow");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps what is written, once it may.
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
    fn what_waits_is_written_at_the_end_in_order() {
        let page = Page::default();
        let (logs, mut queue) = Logs::to(page.clone());
        let lines: Vec<_> = (0..1_000).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            queue.write_all(line.as_bytes()).expect("it never fails");
        }
        drop(logs);
        assert_eq!(*page.text.lock().expect("no panic"), lines.concat().into_bytes());
        queue.write_all(b"too late").expect("it never fails");
    }

    #[test]
    fn no_one_waits_for_a_reader_that_does_not_read() {
        let page = Page::default();
        let shut = page.gate.lock().expect("no panic");
        let (logs, mut queue) = Logs::to(page.clone());
        let began = Instant::now();
        for _ in 0..LINES_MAX + 2 * BYTES_TOGETHER / 100 {
            queue.write_all(&[b'x'; 100]).expect("it never fails");
        }
        // All but those that the thread had in hand, and those that fit.
        assert!(queue.lost.load(Ordering::Relaxed) > 0);
        drop(logs);
        assert!(began.elapsed() < FLUSH_WITHIN * 3);
        drop(shut);
    }
}
