//! The stack of layers around every route.

mod access_log;
pub(crate) mod client_ip;
mod cors;
mod csrf;
mod deadline;
mod fixed_headers;
mod fixed_table;
mod framing;
mod hosts;
mod miss_limit;
mod observe;
mod provider_limit;
mod rate_limit;
pub(crate) mod refusals;
mod span;
mod step;

use crate::config::{Config, Network};
use crate::http::wire::{EventLimit, UserLimit};
use crate::limits::SharedLimits;
use crate::telemetry::{Metrics, Tracing};
use axum::Router;
use csrf::Csrf;
use deadline::DeadlineLayer;
use fixed_headers::FixedHeaders;
use hosts::{AllowedHosts, CheckHost};
use miss_limit::{MissLimit, Misses};
use observe::Observe;
use provider_limit::ProviderLimit;
use rate_limit::{RateLimit, RateLimits};
use refusals::Refusals;
use std::sync::Arc;
use std::time::Duration;
use step::StepLayer;
use tower::ServiceBuilder;
use tower_http::cors::CorsLayer;

/// The stack of one port: what its layers share, and those that depend on the settings.
pub struct Edge {
    shared: Arc<Shared>,
    cors: Option<CorsLayer>,
    limits: Option<Arc<RateLimits>>,
    misses: Arc<Misses>,
    hosts: Option<Arc<AllowedHosts>>,
    csrf: Option<Csrf>,
}

/// What the layers of a port share.
struct Shared {
    metrics: Metrics,
    tracing: Tracing,
    /// Proxies that may name a client's address.
    trusted_proxies: Vec<Network>,
    /// Whether callers' traces are continued (`TRACING_TRUST_CALLER`); `None`: only those from this machine.
    trusts_callers: Option<bool>,
    /// Decides which refusals get a log line.
    refusals: Refusals,
    /// How long an answer may take, unless the caller asked to wait (`SERVER_WRITE_TIMEOUT`).
    request_timeout: Duration,
}

/// What the stack must know of a group of routes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteTraits {
    kind: Kind,
    privacy: Privacy,
    /// `Prefer: wait` extends the time of an answer.
    may_wait: bool,
    /// Handlers write audit lines, which name the request's id.
    is_audited: bool,
}

/// Whom the responses of a group of routes are about, refusals included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privacy {
    /// No one.
    Public,
    /// One person: caches must not store them.
    Personal,
    /// One person, whom the caller may have guessed: 404 is a miss, of which a client has few.
    Guessed,
}

/// What a group of routes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Monitoring, which must work under overload too: no rate limit, any host name, no spans, only failures logged.
    Probe,
    /// Documents for people, and paths that do not exist: no spans.
    Page,
    /// Files that a page loads, many at once, and keeps: no spans, no rate limit.
    Asset,
    /// The API.
    Api,
}

impl RouteTraits {
    pub(crate) const PROBE: Self =
        Self { kind: Kind::Probe, privacy: Privacy::Public, may_wait: false, is_audited: false };
    /// Webhooks of the payment provider, which are signed: no token, any host name, a rate limit of their own.
    pub(crate) const PROVIDER: Self = Self::PROBE;
    pub(crate) const PAGE: Self = Self { kind: Kind::Page, ..Self::PROBE };
    pub(crate) const ASSET: Self = Self { kind: Kind::Asset, ..Self::PROBE };
    pub(crate) const API: Self = Self { kind: Kind::Api, ..Self::PROBE };
    pub(crate) const AUDITED: Self = Self { is_audited: true, ..Self::API };
    pub(crate) const PERSONAL: Self = Self { privacy: Privacy::Personal, ..Self::AUDITED };
    pub(crate) const PERSONAL_AND_GUESSED: Self =
        Self { privacy: Privacy::Guessed, ..Self::PERSONAL };
    pub(crate) const PERSONAL_AND_WAITING: Self = Self { may_wait: true, ..Self::PERSONAL };

    /// Whether its answers have `RateLimit` headers.
    pub(crate) fn is_limited_api(self) -> bool {
        self.kind == Kind::Api
    }
}

impl Edge {
    /// The stack for these settings; its rate limits are shared with other replicas through `shared`.
    pub fn from_config(
        config: &Config,
        metrics: Metrics,
        tracing: Tracing,
        shared: Option<Arc<dyn SharedLimits>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                metrics,
                tracing,
                trusted_proxies: config.trusted_proxies.clone(),
                trusts_callers: config.tracing.as_ref().and_then(|tracing| tracing.trust_caller),
                refusals: Refusals::default(),
                request_timeout: config.server_write_timeout,
            }),
            cors: cors::layer(&config.cors_origins),
            limits: RateLimits::from_config(config, shared),
            misses: Arc::new(Misses::new(config.trusted_proxies.clone())),
            hosts: AllowedHosts::from_config(config),
            csrf: csrf::layer(config),
        }
    }

    /// The limit of each user. Not a layer: the user is known only once the token is read.
    pub(crate) fn user_limit(&self) -> Option<Arc<dyn UserLimit>> {
        self.limits.clone().map(|limits| limits as Arc<dyn UserLimit>)
    }

    /// The limit of the payment provider's events. Not a layer: forged events do not count.
    pub(crate) fn event_limit() -> Arc<dyn EventLimit> {
        Arc::new(ProviderLimit::default())
    }

    /// Shares the rate limits with other replicas. Never returns if they are shared; returns at once otherwise.
    pub fn share_limits(&self) -> impl Future<Output = ()> + Send + 'static {
        let limits = self.limits.clone();
        async move {
            if let Some(limits) = limits {
                limits.share().await;
            }
        }
    }

    /// Routes inside the stack; the first layer is the outermost.
    ///
    /// One `.layer()`, because each call boxes the routes once more; another one, the innermost, where misses count.
    pub(crate) fn around<S>(&self, routes: Router<S>, route: RouteTraits) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let (shared, is_probe) = (&self.shared, route.kind == Kind::Probe);
        let is_limited = !is_probe && route.kind != Kind::Asset;
        let limits = self.limits.clone().filter(|_| is_limited);
        let allowed = self.hosts.clone().filter(|_| !is_probe);
        let routes = if route.privacy == Privacy::Guessed {
            routes.layer(StepLayer(MissLimit(self.misses.clone())))
        } else {
            routes
        };
        routes.layer(
            ServiceBuilder::new()
                .layer(StepLayer(Observe { shared: shared.clone(), route }))
                .layer(StepLayer(FixedHeaders { is_personal: route.privacy != Privacy::Public }))
                .option_layer(self.cors.clone().map(|cors| {
                    ServiceBuilder::new()
                        .map_response(cors::without_content)
                        .layer(cors)
                        .into_inner()
                }))
                .option_layer(limits.map(|limits| StepLayer(RateLimit(limits))))
                .layer(StepLayer(CheckHost { allowed }))
                .option_layer(self.csrf.clone())
                .layer(DeadlineLayer { shared: shared.clone() }),
        )
    }
}
