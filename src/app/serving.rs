//! The routers of the service, and its run from start to stop.

use super::App;
use crate::booking::PaymentHints;
use crate::config::{Config, Role, Secret};
use crate::gateway::stripe::Webhooks;
use crate::http;
use crate::payments::news::GatewayNews;
use futures::future::OptionFuture;
use std::future::Future;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Maximum number of connections at the operators' port (`METRICS_PORT`).
const OPERATORS_CONNECTIONS_MAX: usize = 64;

impl App {
    /// The HTTP service; without the role `api` only health and metrics.
    pub fn router(&self) -> axum::Router {
        let router = if self.has(Role::Api) { http::router } else { http::router_for_operators };
        let metrics = self.config.metrics_port.is_none();
        let shown =
            http::Shown { docs: self.config.docs, metrics, webhooks: self.stripe().is_some() };
        let edge = self.edge(&self.config);
        self.share_limits(&edge);
        router(self.api(shown, &edge), &edge)
    }

    /// The routes at the operators' port (`METRICS_PORT`).
    fn router_for_operators(&self) -> axum::Router {
        // Operators have no rate limit.
        let edge = self.edge(&Config { rate_limit: None, ..(*self.config).clone() });
        let shown = http::Shown { docs: false, metrics: true, webhooks: false };
        http::router_for_operators(self.api(shown, &edge), &edge)
    }

    /// Stripe's webhooks, if it takes the money and signs them with a known secret.
    fn stripe(&self) -> Option<http::StripeWebhooks> {
        let secrets = &self.config.stripe.as_ref()?.webhook_secrets;
        let clock = self.shared.ports.clock.clone();
        let signed = Webhooks::new(secrets.iter().map(Secret::expose), clock);
        let hints = self.payment_hints();
        let news = self.gateway_news();
        (!secrets.is_empty()).then_some(http::StripeWebhooks { signed, hints, news })
    }

    /// Asks the gateway about payments of which there is news.
    pub fn payment_hints(&self) -> PaymentHints {
        self.shared.payment_hints()
    }

    /// Asks the gateway about refunds and disputes of which there is news.
    pub fn gateway_news(&self) -> GatewayNews {
        self.shared.gateway_news(&self.config, &self.engine)
    }

    fn edge(&self, config: &Config) -> http::Edge {
        let (tracing, limits) = (self.shared.ports.tracing.clone(), self.limits.clone());
        http::Edge::from_config(config, self.metrics.clone(), tracing, limits)
    }

    fn api(&self, shown: http::Shown, edge: &http::Edge) -> http::Api {
        http::Api {
            bookings: self.bookings.clone(),
            waiting_list: self.waiting_list.clone(),
            pages: http::Pages {
                public_url: self.config.public_url.clone(),
                return_origins: self.config.return_origins.clone(),
                references: self.shared.ports.references.clone(),
            },
            sandbox: self
                .shared
                .ports
                .sandbox
                .clone()
                .map(|payments| http::SandboxPage { payments, hints: self.payment_hints() }),
            stripe: self.stripe(),
            event_limit: http::Edge::event_limit(),
            flights: self.flights.clone(),
            webhooks: self.webhooks.clone(),
            search: self.search.clone(),
            itineraries: self.itineraries.clone(),
            events: self.shared.events(&self.config),
            live: self.live.clone(),
            health: self.health.clone(),
            metrics: self.metrics.clone(),
            draining: self.draining.clone(),
            tokens: self.tokens.clone(),
            tickets: self.shared.tickets(),
            once: self.once.clone(),
            in_flight: Semaphore::new(self.config.max_in_flight),
            user_limit: edge.user_limit(),
            shown,
            limits: http::HttpLimits {
                party_size_max: self.config.max_party_size,
                pending_max: self.config.max_pending_per_user,
                read_timeout: self.config.server_read_timeout,
            },
        }
    }

    /// Starts the workers and serves until `stop` resolves; then drains and stops. Stops the same way when a
    /// worker panics or the claim on the database is lost, and then fails.
    pub async fn serve(
        mut self,
        listeners: Vec<TcpListener>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        self.follow_clock();
        self.keep_keys();
        self.start_pipeline().await?;
        self.start_sweeper();
        let closing = CancellationToken::new();
        let limits = http::ConnectionLimits {
            connections_max: self.config.max_connections,
            by_client: http::ConnectionsByClient::from_config(&self.config),
            head_timeout: self.config.server_read_timeout,
            idle_timeout: self.config.server_idle_timeout,
            write_timeout: self.config.server_write_timeout,
        };
        let (router, metrics) = (self.router(), self.metrics.clone());
        // Operators have their own connections, which callers can't use up.
        let operators = self.operators.take().map(|listener| {
            let limits = http::ConnectionLimits {
                connections_max: OPERATORS_CONNECTIONS_MAX,
                by_client: http::ConnectionsByClient::unlimited(),
                ..limits.clone()
            };
            let router = self.router_for_operators();
            http::serve(vec![listener], router, limits, metrics.clone(), closing.clone())
        });
        let server = http::serve(listeners, router, limits, metrics, closing.clone());
        let server = async { tokio::join!(server, OptionFuture::from(operators)) };
        let panicked = self.workers.panicked();
        let mut claims = std::mem::take(&mut self.claims);
        let mut failure = None;
        let stopped = async {
            tokio::select! {
                () = stop => {}
                worker = panicked => failure = Some(anyhow::anyhow!(
                    "the worker {worker} panicked; the log says why"
                )),
                () = claims.lost() => failure = Some(anyhow::anyhow!(
                    "another airline-booking serves from this database; replicas need KAFKA_BROKERS"
                )),
            }
            self.draining.store(true, Ordering::Release);
            if !self.config.shutdown_delay.is_zero() {
                info!("stopping: no longer ready; requests are accepted for SHUTDOWN_DELAY");
                tokio::time::sleep(self.config.shutdown_delay).await;
            }
            info!("stopping: new requests are refused, running ones are finished");
            // Callers that wait for a payment get the booking's current state.
            self.stopping.cancel();
            closing.cancel();
            tokio::time::sleep(self.config.shutdown_timeout).await;
        };
        tokio::select! {
            _ = server => {}
            () = stopped => warn!("some requests did not finish in SHUTDOWN_TIMEOUT"),
        }
        self.stop().await;
        failure.map_or(Ok(()), Err)
    }
}
