//! Bounds the time of an answer, and answers a panic.
//!
//! Not tower-http's `timeout` and `catch-panic`: `Prefer: wait` varies the time from request to request,
//! the panic must be counted, and `catch-panic` would box every body.

use super::Shared;
use crate::http::wire::prefer::Wait;
use crate::http::wire::problem::{Code, Problem};
use crate::telemetry::{Panicked, Part, Span};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Layer, Service};

/// Limits the time of each request; a wait that the request asked for comes on top.
#[derive(Clone)]
pub(super) struct DeadlineLayer {
    pub(super) shared: Arc<Shared>,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, layer: self.clone() }
    }
}

/// The inner service, whose future is dropped when the time is over.
#[derive(Clone)]
pub(super) struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> Service<Request> for Deadline<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let shared = self.layer.shared.clone();
        let Wait(wait) = Wait::of(request.extensions());
        let span = shared.tracing.is_on().then(|| request.extensions_mut().remove::<Arc<Span>>());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let time = shared.request_timeout + wait;
            Ok(match span.flatten() {
                Some(span) => span.around(within(&shared, time, answer)).await,
                None => within(&shared, time, answer).await,
            })
        })
    }
}

/// The answer, or a problem if the handler panicked or took too long.
async fn within(
    shared: &Shared,
    time: Duration,
    answer: impl Future<Output = Result<Response, Infallible>>,
) -> Response {
    let timed = tokio::time::timeout(time, answer);
    match shared.metrics.catch(Part::Request, timed).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Err(_)) => {
            let late = "the answer took longer than SERVER_WRITE_TIMEOUT; what was asked may have \
                        been done";
            Problem::new(Code::Unavailable, late).into_response()
        }
        Err(Panicked) => Problem::internal("panicked; an earlier line says where").into_response(),
    }
}
