//! The caller, from the `Authorization` header (RFC 6750), and the checks of what it may do.

use super::ExtractorState;
use super::audit::{Logged, Watch};
use super::problem::{Code, Problem};
use crate::domain::UserId;
use crate::identity::{Caller, Refused, Scope};
use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use tracing::warn;

impl<S: ExtractorState> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    /// Handlers extract the caller first: a refused caller's path, query and body are not read.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Some(tokens) = state.tokens() else { return Ok(Self::Anyone) };
        let token = bearer(&parts.headers)?;
        let caller = tokens.caller(token).await.map_err(|refused| match refused {
            // The token may be a valid secret elsewhere, so it is not repeated.
            Refused::Token(reason) => {
                let detail = format!("the token is not accepted: {reason}");
                Problem::unauthenticated(detail, true, reason)
            }
            Refused::NoKeys(_) => {
                warn!(%refused, "tokens cannot be checked");
                Problem::new(
                    Code::Unavailable,
                    "tokens cannot be checked at the moment; repeat the request later",
                )
            }
        })?;
        if let Self::Known { user, .. } = &caller {
            state.count(*user)?;
        }
        Ok(caller)
    }
}

/// Extractor: a caller of an endpoint that needs no token. A token that is accepted tells who it is; any other counts
/// as none.
pub(crate) struct Anybody(pub Caller);

impl<S: ExtractorState> FromRequestParts<S> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, state).await {
            Ok(caller) => Ok(Self(caller)),
            Err(refused) if refused.code() == Code::RateLimited => Err(refused),
            Err(_) => Ok(Self(Caller::Anonymous)),
        }
    }
}

/// The token of the request; an error unless there is exactly one.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = sent.next() else {
        let detail = "send a token, as Authorization: Bearer …";
        return Err(Problem::unauthenticated(detail, false, "no token"));
    };
    let parts = first.to_str().ok().and_then(|text| text.trim().split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && sent.next().is_none() => {
            Ok(token.trim())
        }
        _ => {
            let detail = "Authorization must be one Bearer token";
            Err(Problem::unauthenticated(detail, true, "not one Bearer token"))
        }
    }
}

/// Extractor: a caller with [`Scope::FlightsWrite`]. Others are refused before the body is read.
pub(crate) struct MayWriteFlights(pub Caller);

impl<S: ExtractorState> FromRequestParts<S> for MayWriteFlights {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        with_scope(parts, state, Scope::FlightsWrite, "flight.write").await.map(Self)
    }
}

/// Extractor: a caller with [`Scope::WebhooksWrite`]. Others are refused before the body is read.
pub(crate) struct MayWriteWebhooks(pub Caller);

impl<S: ExtractorState> FromRequestParts<S> for MayWriteWebhooks {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        with_scope(parts, state, Scope::WebhooksWrite, "webhook.write").await.map(Self)
    }
}

/// The caller, if it has the scope. One that has not is noted under the action.
async fn with_scope<S: ExtractorState>(
    parts: &mut Parts,
    state: &S,
    scope: Scope,
    action: &'static str,
) -> Result<Caller, Problem> {
    let caller = Caller::from_request_parts(parts, state).await?;
    let Err(lacking) = has_scope(&caller, scope) else { return Ok(caller) };
    let mut deed = Watch::over(parts).begin(&caller, action, Logged::Always);
    deed.check(Err(lacking))
}

/// 403 unless the caller's token has the scope.
pub(crate) fn has_scope(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    if caller.may(scope) { Ok(()) } else { Err(Problem::lacking(scope)) }
}

/// 403 unless the caller may act for this user.
pub(crate) fn acts_for(caller: &Caller, user: UserId) -> Result<(), Problem> {
    if caller.may_act_for(user) {
        return Ok(());
    }
    let detail = "the token belongs to another user and lacks bookings:admin";
    Err(Problem::new(Code::Forbidden, detail).refusing("its token is another user's"))
}
