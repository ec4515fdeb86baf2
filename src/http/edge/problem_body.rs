//! Writes the bodies of problems, which name the request's id.

use super::request_id;
use super::step::Step;
use crate::http::wire::problem::Problem;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use std::ops::ControlFlow;

/// Writes the body of an answer that carries a [`Problem`].
#[derive(Clone, Copy)]
pub(super) struct ProblemBody;

impl Step for ProblemBody {
    type Kept = ();

    fn enter(&self, _: &mut Request) -> ControlFlow<Response, ()> {
        ControlFlow::Continue(())
    }

    fn leave((): (), response: &mut Response) {
        let Some(problem) = response.extensions().get::<Problem>() else { return };
        let body = problem.body(request_id::of(response.extensions()));
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        *response.body_mut() = Body::from(body);
    }
}
