//! Connections: accepted up to a bound, given up when their client is slow, closed at the stop.
//!
//! Drives hyper itself, since `axum::serve` bounds neither the time of a request's head nor that of
//! a connection at rest. One router for all connections; what is per connection is its I/O, its
//! timer and a task.

mod by_client;
mod timeouts;

pub use by_client::ConnectionsByClient;

use super::edge::refusals::Refusals;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::ConnectInfo;
use by_client::ClientPlace;
use http::StatusCode;
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
use timeouts::{Activity, Patience, Unhurried};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::{debug, info, warn};

/// Bytes of a request's head at most; beyond it, 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Headers of a request at most; beyond it, 431.
const HEADERS_MAX: usize = 100;

/// After an accept that failed, for want of file descriptors say.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a connection must have said nothing to be closed for another's sake.
const REST: Duration = Duration::from_millis(100);

/// How long a connection that says nothing may take to notice the stop.
const LINGER: Duration = Duration::from_millis(500);

/// Bounds of the connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// At once (`MAX_CONNECTIONS`).
    pub connections_max: usize,
    /// Of one client at once (`MAX_CONNECTIONS_PER_CLIENT`).
    pub by_client: Arc<ConnectionsByClient>,
    /// For a request's head (`SERVER_READ_TIMEOUT`).
    pub head_timeout: Duration,
    /// Between requests (`SERVER_IDLE_TIMEOUT`).
    pub idle_timeout: Duration,
    /// For a client that does not take its answer (`SERVER_WRITE_TIMEOUT`).
    pub write_timeout: Duration,
}

/// Serves until `closing`; returns when every connection has ended.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    limits: ConnectionLimits,
    metrics: Metrics,
    closing: CancellationToken,
) {
    // Made ready once: a bare router would be built anew for each connection.
    let places = Arc::new(Semaphore::new(limits.connections_max));
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
            let place = server.place(&places).await;
            let Some((stream, peer)) = server.accept(&listeners).await else { continue };
            let Some(of_client) = server.limits.by_client.take(peer.ip()) else {
                server.refuse(peer);
                continue;
            };
            connections.spawn(server.clone().converse(stream, peer, (place, of_client)));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = closing.cancelled() => {}
    }
    // No longer listening: who comes now is refused at once.
    drop(listeners);
    connections.close();
    connections.wait().await;
}

/// What all connections share.
struct Server {
    router: Router,
    limits: ConnectionLimits,
    metrics: Metrics,
    /// Which refusals have a log line.
    refusals: Refusals,
    /// Told when there is no room for one more.
    crowded: Notify,
    closing: CancellationToken,
}

impl Server {
    /// Room for one connection more; where there is none, those at rest are asked to go.
    async fn place(&self, places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        if let Ok(place) = places.clone().try_acquire_owned() {
            return place;
        }
        let mut waiting = pin!(places.clone().acquire_owned());
        loop {
            self.crowded.notify_waiters();
            tokio::select! {
                place = &mut waiting => return place.expect("the semaphore is never closed"),
                // Those that have come to rest meanwhile.
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
                // Answers are small and whole: waiting to fill a packet would only delay them.
                let set = stream.set_nodelay(true);
                set.inspect_err(|error| debug!(%error, "TCP_NODELAY")).ok()?;
                Some((stream, peer))
            }
            Err(error) => {
                // One that was given up by its client is no reason to wait; too few files are.
                debug!(%error, "a connection was not accepted");
                if error.raw_os_error().is_some_and(is_out_of_files) {
                    warn!(%error, "no connection can be accepted; those at rest are closed");
                    self.crowded.notify_waiters();
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
                None
            }
        }
    }

    /// Answers one connection's requests until it ends; keeps its place meanwhile.
    async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _places: (OwnedSemaphorePermit, ClientPlace),
    ) {
        let activity = Arc::new(Activity::default());
        let answer = service_fn(|mut request: http::Request<Incoming>| {
            let serving = activity.serve();
            request.extensions_mut().insert(ConnectInfo(peer));
            let answering = self.router.clone().call(request);
            async move {
                let answered = answering.await;
                drop(serving);
                answered
            }
        });
        let patience = Patience {
            head: self.limits.head_timeout,
            idle: self.limits.idle_timeout,
            write: self.limits.write_timeout,
        };
        let io = TokioIo::new(Unhurried::new(stream, patience, activity.clone()));
        let mut connection = pin!(
            http1::Builder::new()
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(io, answer)
        );
        loop {
            tokio::select! {
                ended = &mut connection => return self.ended_by(ended, peer),
                // Who is being served, or has just been, goes on.
                () = self.crowded.notified() => if activity.has_rested(REST) { break },
                () = self.closing.cancelled() => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        loop {
            tokio::select! {
                ended = &mut connection => return self.ended_by(ended, peer),
                // Whoever has sent half a request has not been promised an answer.
                () = tokio::time::sleep(LINGER) => if activity.is_at_rest() { return },
            }
        }
    }

    /// Most end so: the client went, or was too slow. What hyper itself has refused, because it is
    /// no HTTP or its head is too large, has no route and no id; it is counted and told of here.
    fn ended_by(&self, ended: Result<(), hyper::Error>, peer: SocketAddr) {
        let Err(error) = ended else { return };
        debug!(%error, "a connection ended early");
        if !error.is_parse() {
            return;
        }
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        self.metrics.route("other", "unmatched").observe(status, Duration::ZERO);
        self.tell_refused(peer, Some(status.as_u16()), "its head can't be read");
    }

    /// Closes, unanswered, a connection of a client that has as many as it may: an answer would have to
    /// wait for its request.
    fn refuse(&self, peer: SocketAddr) {
        self.metrics.connections_refused.inc();
        self.tell_refused(peer, None, "it has MAX_CONNECTIONS_PER_CLIENT connections");
    }

    fn tell_refused(&self, peer: SocketAddr, status: Option<u16>, reason: &'static str) {
        let client = peer.ip();
        let Some(left_out) = self.refusals.take(client, Instant::now()) else { return };
        let left_out = (left_out > 0).then_some(left_out);
        info!(target: "access", status, reason, %client, left_out, "refused");
    }
}

/// `EMFILE` and `ENFILE`, which have the same numbers on every Unix.
fn is_out_of_files(os_error: i32) -> bool {
    matches!(os_error, 23 | 24)
}
