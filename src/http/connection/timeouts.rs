//! A connection's stream that fails when its client is too slow.
//!
//! Each connection has one timer, which is reset only when it fires: a request costs a look at the clock and
//! no change of a timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// To send a request's head once it has begun.
    pub head: Duration,
    /// To begin the next request.
    pub idle: Duration,
    /// To read the next [`PROGRESS_MIN`] bytes of an answer, or its rest.
    pub write: Duration,
}

/// Bytes of an answer that a client must read in time. A client that reads single bytes could otherwise keep
/// its connection, and the answer's memory, for ever.
const PROGRESS_MIN: usize = 16 * 1024;

/// What a connection is doing, as its service and its stream report it.
pub(crate) struct Activity {
    began: Instant,
    /// Number of requests whose heads have arrived.
    requests: AtomicU64,
    /// When the last of them was answered, in milliseconds since `began`.
    answered_ms: AtomicU64,
    serving: AtomicBool,
    writing: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            requests: AtomicU64::default(),
            answered_ms: AtomicU64::default(),
            serving: AtomicBool::default(),
            writing: AtomicBool::default(),
        }
    }
}

impl Activity {
    /// Marks a request as being answered, until the value is dropped.
    pub(crate) fn serve(self: &Arc<Self>) -> Serving {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.serving.store(true, Ordering::Relaxed);
        Serving(self.clone())
    }

    fn answered_at(&self) -> Instant {
        self.began + Duration::from_millis(self.answered_ms.load(Ordering::Relaxed))
    }

    /// Whether no request is being answered and no answer is being written.
    pub(crate) fn is_idle(&self) -> bool {
        !self.serving.load(Ordering::Relaxed) && !self.writing.load(Ordering::Relaxed)
    }

    /// Whether the connection has been idle for this long. A client that has just connected, or has just been
    /// answered, may be about to send a request.
    pub(crate) fn is_idle_for(&self, time: Duration) -> bool {
        self.is_idle() && self.answered_at().elapsed() >= time
    }
}

/// A request that is being answered.
pub(crate) struct Serving(Arc<Activity>);

impl Drop for Serving {
    fn drop(&mut self) {
        let at = self.0.began.elapsed().as_millis() as u64;
        self.0.answered_ms.store(at, Ordering::Relaxed);
        self.0.serving.store(false, Ordering::Relaxed);
    }
}

/// What the stream waits for the client to send.
#[derive(Clone, Copy)]
enum Expected {
    /// The first byte of a request, since then.
    Request(Instant),
    /// The rest of its head, since then.
    Head(Instant),
    /// Nothing: a request is being answered, or its body arrives, which has a time-out of its own.
    Nothing,
}

/// An answer that the client does not read as fast as it is written.
#[derive(Clone, Copy)]
struct Stalled {
    since: Instant,
    /// Bytes that the client has read since then.
    progress: usize,
}

/// A stream that fails with `TimedOut` when its client is too slow.
pub(crate) struct TimeoutStream<S> {
    stream: S,
    timeouts: Timeouts,
    activity: Arc<Activity>,
    expected: Expected,
    /// Requests that had arrived when the stream was last read.
    requests: u64,
    /// Set while an answer waits for its client.
    stalled: Option<Stalled>,
    timer: Pin<Box<Sleep>>,
}

impl<S> TimeoutStream<S> {
    pub(crate) fn new(stream: S, timeouts: Timeouts, activity: Arc<Activity>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            timeouts,
            activity,
            expected: Expected::Request(now),
            requests: 0,
            stalled: None,
            timer: Box::pin(tokio::time::sleep_until(now + timeouts.idle)),
        }
    }

    /// Updates what is expected after a read of this many bytes.
    fn note_read(&mut self, bytes: usize) {
        let requests = self.activity.requests.load(Ordering::Relaxed);
        if requests != self.requests {
            self.requests = requests;
            self.expected = Expected::Nothing;
        }
        self.expected = match self.expected {
            _ if self.activity.serving.load(Ordering::Relaxed) => Expected::Nothing,
            Expected::Head(since) => Expected::Head(since),
            Expected::Request(_) | Expected::Nothing if bytes > 0 => Expected::Head(Instant::now()),
            Expected::Nothing => Expected::Request(self.activity.answered_at()),
            Expected::Request(since) => Expected::Request(since),
        };
    }

    /// When the client has taken too long; `None` while nothing is expected of it.
    fn deadline(&self) -> Option<Instant> {
        let read = match self.expected {
            Expected::Request(since) => Some(since + self.timeouts.idle),
            Expected::Head(since) => Some(since + self.timeouts.head),
            Expected::Nothing => None,
        };
        let write = self.stalled.map(|stalled| stalled.since + self.timeouts.write);
        [read, write].into_iter().flatten().min()
    }

    /// Wakes the connection at the deadline at the latest; ready once the deadline has passed.
    ///
    /// The connection is woken without a deadline too: hyper does not read again when an answer is ready, so only
    /// this shows that the next request is now expected.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline();
        let wake = deadline.unwrap_or_else(|| Instant::now() + self.timeouts.head);
        if self.timer.deadline() > wake {
            self.timer.as_mut().reset(wake);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(wake);
        }
    }

    fn poll_written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written
            && let Some(stalled) = &mut self.stalled
        {
            stalled.progress += bytes;
            if stalled.progress >= PROGRESS_MIN {
                *stalled = Stalled { since: Instant::now(), progress: 0 };
            }
        }
        if written.is_ready() {
            return written;
        }
        self.activity.writing.store(true, Ordering::Relaxed);
        self.stalled.get_or_insert_with(|| Stalled { since: Instant::now(), progress: 0 });
        ready!(self.poll_deadline(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.note_read(buffer.filled().len() - before);
        if read.is_ready() {
            return read;
        }
        ready!(this.poll_deadline(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.poll_written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.poll_written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has written everything, so no answer waits for its client any more.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stalled.take().is_some() {
            this.activity.writing.store(false, Ordering::Relaxed);
        }
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const TIMEOUTS: Timeouts = Timeouts {
        head: Duration::from_millis(80),
        idle: Duration::from_millis(400),
        write: Duration::from_millis(80),
    };

    fn connection() -> (TimeoutStream<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = duplex(64);
        let activity = Arc::new(Activity::default());
        (TimeoutStream::new(ours, TIMEOUTS, activity.clone()), theirs, activity)
    }

    /// Reads until the stream fails. Returns how long that took.
    async fn times_out_after(connection: &mut TimeoutStream<DuplexStream>) -> Duration {
        let began = Instant::now();
        let error = loop {
            match connection.read_u8().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_times_out_sooner_than_an_idle_connection() {
        let (mut connection, mut client, _) = connection();
        assert!(times_out_after(&mut connection).await >= TIMEOUTS.idle);

        let (mut connection, mut dripping, _) = self::connection();
        let drip = async {
            loop {
                if dripping.write_all(b"G").await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            took = times_out_after(&mut connection) => {
                assert!(took >= TIMEOUTS.head && took < TIMEOUTS.idle, "{took:?}");
            }
            () = drip => {}
        }
        client.shutdown().await.expect("it is open");
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_on_a_connection_has_its_own_time_out() {
        let (mut connection, mut client, activity) = connection();
        for _ in 0..20 {
            client.write_all(b"G").await.expect("it is open");
            connection.read_u8().await.expect("it is read");
            drop(activity.serve());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Nothing is expected of the client while a request is being answered.
        let serving = activity.serve();
        let patient = tokio::time::timeout(TIMEOUTS.idle * 2, connection.read_u8()).await;
        assert!(patient.is_err(), "{patient:?}");
        drop(serving);
        let took = times_out_after(&mut connection).await;
        assert!(took >= TIMEOUTS.idle && took <= TIMEOUTS.idle + TIMEOUTS.head, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_single_bytes_times_out() {
        let (mut connection, mut dripping, _) = connection();
        let drip = async {
            while dripping.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::future::pending::<()>().await;
        };
        let (began, answer) = (Instant::now(), vec![0; 100_000]);
        tokio::select! {
            written = connection.write_all(&answer) => {
                assert_eq!(written.expect_err("too slow").kind(), io::ErrorKind::TimedOut);
            }
            () = drip => {}
        }
        let took = began.elapsed();
        assert!(took >= TIMEOUTS.write && took < TIMEOUTS.write * 5, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_and_steadily_gets_its_whole_answer() {
        const ANSWER: usize = 40 * PROGRESS_MIN;
        // Each piece arrives in time; all of them take longer.
        const WRITE: Duration = Duration::from_secs(2);
        let (ours, mut steady) = duplex(PROGRESS_MIN);
        let activity = Arc::new(Activity::default());
        let mut connection = TimeoutStream::new(
            ours,
            Timeouts { idle: WRITE * 30, write: WRITE, ..TIMEOUTS },
            activity.clone(),
        );
        let take = async {
            let (mut taken, mut part) = (0, vec![0; PROGRESS_MIN]);
            while taken < ANSWER {
                taken += steady.read(&mut part).await.expect("it is open");
                tokio::time::sleep(WRITE / 30).await;
            }
        };
        let began = Instant::now();
        let answer = vec![0; ANSWER];
        let write = async {
            connection.write_all(&answer).await.expect("it is taken");
            assert!(!activity.is_idle());
            connection.flush().await.expect("it is taken");
        };
        tokio::join!(write, take);
        assert!(began.elapsed() > WRITE && activity.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_times_out() {
        let (mut connection, _client, activity) = connection();
        let error = connection.write_all(&[0; 1_000]).await.expect_err("it is not read");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!activity.is_idle());
    }
}
