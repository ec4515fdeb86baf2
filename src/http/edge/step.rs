//! A layer that handles a request before the inner service and its response after it, without waiting.
//!
//! Its future is a plain struct: unlike `axum::middleware::from_fn` it allocates nothing for a request.

use axum::extract::Request;
use axum::response::Response;
use std::convert::Infallible;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower::{Layer, Service};

/// What a layer does with a request and its response.
pub(super) trait Step: Clone {
    /// What is kept of the request until its response.
    type Kept: Unpin;

    /// Passes a request on, or answers it.
    fn enter(&self, request: &mut Request) -> ControlFlow<Response, Self::Kept>;

    /// Finishes the response to a request that was passed on.
    fn leave(kept: Self::Kept, response: &mut Response);
}

/// Makes a [`Step`] a layer.
#[derive(Clone)]
pub(super) struct StepLayer<T>(pub T);

impl<S, T: Step> Layer<S> for StepLayer<T> {
    type Service = StepService<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        StepService { inner, step: self.0.clone() }
    }
}

/// The inner service with a step around it.
#[derive(Clone)]
pub(super) struct StepService<S, T> {
    inner: S,
    step: T,
}

impl<S, T> Service<Request> for StepService<S, T>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Unpin,
    T: Step,
{
    type Response = Response;
    type Error = Infallible;
    type Future = StepFuture<S::Future, T::Kept>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        match self.step.enter(&mut request) {
            ControlFlow::Break(response) => StepFuture::Answered(Some(response)),
            ControlFlow::Continue(kept) => StepFuture::Inside {
                future: self.inner.call(request),
                kept: Some(kept),
                leave: T::leave,
            },
        }
    }
}

/// The future of a response.
pub(super) enum StepFuture<F, K> {
    /// The step has answered; empty once the response is taken.
    Answered(Option<Response>),
    /// The inner service answers.
    Inside { future: F, kept: Option<K>, leave: fn(K, &mut Response) },
}

impl<F, K> Future for StepFuture<F, K>
where
    F: Future<Output = Result<Response, Infallible>> + Unpin,
    K: Unpin,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Answered(response) => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after its end")))
            }
            Self::Inside { future, kept, leave } => {
                let Ok(mut response) = ready!(Pin::new(future).poll(context));
                leave(kept.take().expect("a future is not polled after its end"), &mut response);
                Poll::Ready(Ok(response))
            }
        }
    }
}
