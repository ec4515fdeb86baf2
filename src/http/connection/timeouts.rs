//! A connection's I/O that gives up on a client that is too slow.
//!
//! One timer a connection, which is set again only when it fires: a request costs no change of a
//! timer, only a look at the clock.

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
pub(crate) struct Patience {
    /// To send a request's head once it has begun.
    pub head: Duration,
    /// To begin one.
    pub idle: Duration,
    /// To take the next [`TAKEN_MIN`] bytes of an answer, or its rest.
    pub write: Duration,
}

/// Bytes of an answer that a client must take in time: one that takes single bytes could keep its
/// connection, and what is written for it, for ever.
const TAKEN_MIN: usize = 16 * 1024;

/// What a connection is doing; its service and its I/O both say.
pub(crate) struct Activity {
    began: Instant,
    /// Requests so far, whose heads had come.
    requests: AtomicU64,
    /// When the last of them was answered, in milliseconds from the beginning.
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
    /// A request is being answered, until the value is dropped.
    pub(crate) fn serve(self: &Arc<Self>) -> Serving {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.serving.store(true, Ordering::Relaxed);
        Serving(self.clone())
    }

    fn answered_at(&self) -> Instant {
        self.began + Duration::from_millis(self.answered_ms.load(Ordering::Relaxed))
    }

    /// Whether no request is being answered and no answer is on its way.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.serving.load(Ordering::Relaxed) && !self.writing.load(Ordering::Relaxed)
    }

    /// Whether that is so since a while: one that has just come, or just asked, may ask at once.
    pub(crate) fn has_rested(&self, a_while: Duration) -> bool {
        self.is_at_rest() && self.answered_at().elapsed() >= a_while
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

/// What the client is waited for.
#[derive(Clone, Copy)]
enum Awaited {
    /// The first byte of a request, since then.
    Request(Instant),
    /// The rest of its head, since then.
    Head(Instant),
    /// Nothing: it is our turn, or its body's, which has a bound of its own.
    Nothing,
}

/// An answer that the client does not take as fast as it is written.
#[derive(Clone, Copy)]
struct Stuck {
    since: Instant,
    /// Bytes taken since then.
    taken: usize,
}

/// A stream that fails with `TimedOut` when its client is too slow.
pub(crate) struct Unhurried<S> {
    stream: S,
    patience: Patience,
    activity: Arc<Activity>,
    awaited: Awaited,
    /// Requests that had come when it was last noted.
    requests: u64,
    /// Where an answer waits for its client.
    stuck: Option<Stuck>,
    timer: Pin<Box<Sleep>>,
}

impl<S> Unhurried<S> {
    pub(crate) fn new(stream: S, patience: Patience, activity: Arc<Activity>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            patience,
            activity,
            awaited: Awaited::Request(now),
            requests: 0,
            stuck: None,
            timer: Box::pin(tokio::time::sleep_until(now + patience.idle)),
        }
    }

    /// Notes that nothing came, or how many bytes.
    fn note_read(&mut self, bytes: usize) {
        let requests = self.activity.requests.load(Ordering::Relaxed);
        if requests != self.requests {
            self.requests = requests;
            self.awaited = Awaited::Nothing;
        }
        self.awaited = match self.awaited {
            _ if self.activity.serving.load(Ordering::Relaxed) => Awaited::Nothing,
            Awaited::Head(since) => Awaited::Head(since),
            Awaited::Request(_) | Awaited::Nothing if bytes > 0 => Awaited::Head(Instant::now()),
            Awaited::Nothing => Awaited::Request(self.activity.answered_at()),
            Awaited::Request(since) => Awaited::Request(since),
        };
    }

    /// When the client has taken too long, if it is waited for.
    fn deadline(&self) -> Option<Instant> {
        let read = match self.awaited {
            Awaited::Request(since) => Some(since + self.patience.idle),
            Awaited::Head(since) => Some(since + self.patience.head),
            Awaited::Nothing => None,
        };
        let write = self.stuck.map(|stuck| stuck.since + self.patience.write);
        [read, write].into_iter().flatten().min()
    }

    /// Wakes the connection no later than at the deadline; ready if that has passed.
    ///
    /// Where there is none, it is woken too: hyper does not read again when an answer is ready, so
    /// nothing else would tell that the client is waited for now.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline();
        let wake = deadline.unwrap_or_else(|| Instant::now() + self.patience.head);
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
            && let Some(stuck) = &mut self.stuck
        {
            stuck.taken += bytes;
            if stuck.taken >= TAKEN_MIN {
                *stuck = Stuck { since: Instant::now(), taken: 0 };
            }
        }
        if written.is_ready() {
            return written;
        }
        self.activity.writing.store(true, Ordering::Relaxed);
        self.stuck.get_or_insert_with(|| Stuck { since: Instant::now(), taken: 0 });
        ready!(self.poll_deadline(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unhurried<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Unhurried<S> {
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

    /// hyper flushes once all that it has is written: nothing of an answer waits any more.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stuck.take().is_some() {
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

    const PATIENCE: Patience = Patience {
        head: Duration::from_millis(80),
        idle: Duration::from_millis(400),
        write: Duration::from_millis(80),
    };

    fn connection() -> (Unhurried<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = duplex(64);
        let activity = Arc::new(Activity::default());
        (Unhurried::new(ours, PATIENCE, activity.clone()), theirs, activity)
    }

    /// Reads until it fails; how long that took.
    async fn given_up_after(connection: &mut Unhurried<DuplexStream>) -> Duration {
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

    #[tokio::test]
    async fn a_head_that_drips_is_given_up_and_a_rest_has_longer() {
        let (mut connection, mut client, _) = connection();
        assert!(given_up_after(&mut connection).await >= PATIENCE.idle);

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
            took = given_up_after(&mut connection) => {
                assert!(took >= PATIENCE.head && took < PATIENCE.idle, "{took:?}");
            }
            () = drip => {}
        }
        client.shutdown().await.expect("it is open");
    }

    #[tokio::test]
    async fn requests_that_follow_one_another_have_each_their_own_time() {
        let (mut connection, mut client, activity) = connection();
        for _ in 0..20 {
            client.write_all(b"G").await.expect("it is open");
            connection.read_u8().await.expect("it is read");
            drop(activity.serve());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Nothing is awaited while we are at it.
        let serving = activity.serve();
        let patient = tokio::time::timeout(PATIENCE.idle * 2, connection.read_u8()).await;
        assert!(patient.is_err(), "{patient:?}");
        drop(serving);
        assert!(given_up_after(&mut connection).await >= PATIENCE.idle / 2);
    }

    #[tokio::test]
    async fn a_client_that_takes_single_bytes_is_given_up_as_well() {
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
        assert!(began.elapsed() >= PATIENCE.write && began.elapsed() < PATIENCE.write * 5);
    }

    #[tokio::test]
    async fn a_client_that_is_slow_and_steady_gets_its_whole_answer() {
        const ANSWER: usize = 40 * TAKEN_MIN;
        // More than a busy machine delays one piece; all of them take longer.
        const WRITE: Duration = Duration::from_secs(2);
        let (ours, mut steady) = duplex(TAKEN_MIN);
        let activity = Arc::new(Activity::default());
        let mut connection = Unhurried::new(
            ours,
            Patience { idle: WRITE * 30, write: WRITE, ..PATIENCE },
            activity.clone(),
        );
        let take = async {
            let (mut taken, mut part) = (0, vec![0; TAKEN_MIN]);
            while taken < ANSWER {
                taken += steady.read(&mut part).await.expect("it is open");
                tokio::time::sleep(WRITE / 30).await;
            }
        };
        let began = Instant::now();
        let answer = vec![0; ANSWER];
        let write = async {
            connection.write_all(&answer).await.expect("it is taken");
            assert!(!activity.is_at_rest());
            connection.flush().await.expect("it is taken");
        };
        tokio::join!(write, take);
        assert!(began.elapsed() > WRITE && activity.is_at_rest());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut connection, _client, activity) = connection();
        let error = connection.write_all(&[0; 1_000]).await.expect_err("no one reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!activity.is_at_rest());
    }
}
