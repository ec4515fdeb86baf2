//! Connections: accepted up to a bound, closed when their client is too slow, closed at the stop.
//!
//! Drives hyper itself, because `axum::serve` bounds neither the time of a request's head nor that of an idle
//! connection, and no library limits slow readers. All connections share one router; each has a stream, a
//! timer and a task.

mod by_client;
mod timeouts;

pub use by_client::ConnectionsByClient;

use crate::http::edge::refusals::Refusals;
use crate::telemetry::Metrics;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use by_client::ClientPermit;
use futures::StreamExt as _;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use timeouts::{Activity, Serving, TimeoutStream, Timeouts};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::{debug, info, warn};

/// Maximum bytes of a request's head; a larger one gets 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Maximum headers of a request; more get 431.
const HEADERS_MAX: usize = 100;

/// Pause after an accept that failed, for example for lack of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a connection must be idle before it is closed to make room for another.
const IDLE_MIN: Duration = Duration::from_millis(100);

/// How long an idle connection may take to notice the stop.
const LINGER: Duration = Duration::from_millis(500);

/// Bounds of the connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Maximum connections at the same time (`MAX_CONNECTIONS`).
    pub connections_max: usize,
    /// Maximum connections of one client at the same time (`MAX_CONNECTIONS_PER_CLIENT`).
    pub by_client: Arc<ConnectionsByClient>,
    /// How long a request's head may take to arrive (`SERVER_READ_TIMEOUT`).
    pub head_timeout: Duration,
    /// How long a connection may be idle between requests (`SERVER_IDLE_TIMEOUT`).
    pub idle_timeout: Duration,
    /// How long a client may leave its answer unread (`SERVER_WRITE_TIMEOUT`).
    pub write_timeout: Duration,
}

/// Serves until `closing` is cancelled; returns when every connection has ended.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    limits: ConnectionLimits,
    metrics: Metrics,
    closing: CancellationToken,
) {
    // Prepared once: a router without its state would be built again for each connection.
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let server = Arc::new(Server {
        router: router.with_state(()),
        limits,
        metrics,
        refusals: Refusals::default(),
        crowded: Notify::new(),
        closing: closing.clone(),
    });
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let permit = server.permit(&permits).await;
            let Some((stream, peer)) = server.accept(&listeners).await else { continue };
            let Some(of_client) = server.limits.by_client.acquire(peer.ip()) else {
                server.refuse(peer);
                continue;
            };
            connections.spawn(server.clone().serve_connection(stream, peer, (permit, of_client)));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = closing.cancelled() => {}
    }
    // Closes the sockets, so new connections are refused at once.
    drop(listeners);
    connections.close();
    connections.wait().await;
}

/// What all connections share.
struct Server {
    router: Router,
    limits: ConnectionLimits,
    metrics: Metrics,
    /// Bounds the log lines about refusals.
    refusals: Refusals,
    /// Notified when there is no room for one more connection.
    crowded: Notify,
    closing: CancellationToken,
}

impl Server {
    /// Waits for a permit for one more connection. Meanwhile idle connections are asked to close.
    async fn permit(&self, permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return permit;
        }
        let mut waiting = pin!(permits.clone().acquire_owned());
        loop {
            self.crowded.notify_waiters();
            tokio::select! {
                permit = &mut waiting => return permit.expect("the semaphore is never closed"),
                // Asks connections that have become idle since.
                () = tokio::time::sleep(ACCEPT_AGAIN_AFTER) => {}
            }
        }
    }

    async fn accept(&self, listeners: &[TcpListener]) -> Option<(TcpStream, SocketAddr)> {
        let accepted = poll_fn(|context| {
            let mut accepted = listeners.iter().map(|listener| listener.poll_accept(context));
            accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match accepted.await {
            Ok((stream, peer)) => {
                // Answers are small and written at once: waiting to fill a packet would only delay them.
                let set = stream.set_nodelay(true);
                set.inspect_err(|error| debug!(%error, "TCP_NODELAY")).ok()?;
                Some((stream, peer))
            }
            Err(error) => {
                // Accepting goes on if a client has left, and pauses if file descriptors run out.
                debug!(%error, "accept failed");
                if error.raw_os_error().is_some_and(is_out_of_files) {
                    warn!(%error, "out of file descriptors, closing idle connections");
                    self.crowded.notify_waiters();
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
                None
            }
        }
    }

    /// Answers the requests of one connection until it ends; holds its permits meanwhile.
    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _permits: (OwnedSemaphorePermit, ClientPermit),
    ) {
        let activity = Arc::new(Activity::default());
        let answer = service_fn(|mut request: http::Request<Incoming>| {
            let serving = activity.serve();
            request.extensions_mut().insert(ConnectInfo(peer));
            let answering = self.router.clone().call(request);
            async move { answering.await.map(|answered| serving_until_its_end(answered, serving)) }
        });
        let timeouts = Timeouts {
            head: self.limits.head_timeout,
            idle: self.limits.idle_timeout,
            write: self.limits.write_timeout,
        };
        let io = TokioIo::new(TimeoutStream::new(stream, timeouts, activity.clone()));
        let mut connection = pin!(
            http1::Builder::new()
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(io, answer)
        );
        loop {
            tokio::select! {
                ended = &mut connection => return self.ended_by(ended, peer),
                // A connection that is being served, or was a moment ago, stays open.
                () = self.crowded.notified() => if activity.is_idle_for(IDLE_MIN) { break },
                () = self.closing.cancelled() => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                ended = &mut connection => return self.ended_by(ended, peer),
                // A request that has not arrived whole gets no answer.
                () = tokio::time::sleep(LINGER) => if activity.is_idle() { return },
            }
        }
    }

    /// Counts and logs a request that hyper itself refused, because it is not HTTP or its head is too large:
    /// it has no route and no id. Other connections end because the client left or was too slow.
    fn ended_by(&self, ended: Result<(), hyper::Error>, peer: SocketAddr) {
        let Err(error) = ended else { return };
        debug!(%error, "connection ended early");
        if !error.is_parse() {
            return;
        }
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        self.metrics.route("other", "unmatched").observe(status, Duration::ZERO);
        self.log_refused(peer, Some(status.as_u16()), "its head can't be read");
    }

    /// Closes a connection of a client that has its maximum, without an answer: it would
    /// have to read the request first.
    fn refuse(&self, peer: SocketAddr) {
        self.metrics.connections_refused.inc();
        self.log_refused(peer, None, "it has MAX_CONNECTIONS_PER_CLIENT connections");
    }

    fn log_refused(&self, peer: SocketAddr, status: Option<u16>, reason: &'static str) {
        let client = peer.ip();
        let Some(left_out) = self.refusals.take(client, Instant::now()) else { return };
        let left_out = (left_out > 0).then_some(left_out);
        info!(target: "access", status, reason, %client, left_out, "refused");
    }
}

/// A stream of events is served until its last byte: its connection is idle neither for the client's time-out nor where
/// there is no room. Any other answer is whole by now.
fn serving_until_its_end(answered: Response, serving: Serving) -> Response {
    let kind = answered.headers().get(CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "text/event-stream") {
        return answered;
    }
    answered.map(|body| {
        let pieces = body.into_data_stream().map(move |piece| {
            let _ = &serving;
            piece
        });
        Body::from_stream(pieces)
    })
}

/// `EMFILE` and `ENFILE`, which have the same numbers on every Unix.
fn is_out_of_files(os_error: i32) -> bool {
    matches!(os_error, 23 | 24)
}
