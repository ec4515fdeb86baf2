//! The circuit breaker around calls of an external party.
//!
//! After [`FAILURES`] failed or slow calls in a row the circuit opens: calls fail at once, so that a party in trouble
//! gets no more of them and callers don't wait for its time-outs. After [`PAUSE`] it is half open: [`PROBES`]
//! calls may go out. If all succeed it closes, if one fails it opens again.
//!
//! The pause is measured on tokio's clock, which tests move; the circuit itself uses no time.

use crate::telemetry::{CircuitGauge, CircuitState, Metrics};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tower::{Service as _, ServiceExt as _, service_fn};
use tower_resilience_circuitbreaker::{
    CircuitBreakerError, CircuitBreakerLayer, CircuitState as State, DefaultClassifier,
    FailureModel,
};
use tracing::{info, warn};

/// Failed or slow calls in a row that open the circuit.
const FAILURES: usize = 16;

/// How long an open circuit lets no call through.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Calls that go out while the circuit is half open; it closes when all have succeeded.
const PROBES: usize = 2;

/// How long to wait while others probe a half-open circuit.
const PROBE_WAIT: Duration = Duration::from_millis(50);

/// When a circuit opens and closes.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Failed or slow calls in a row that open it.
    pub failures: usize,
    /// How long it lets no call through then.
    pub pause: Duration,
    /// Calls that take this long or longer count as failed.
    pub slow_after: Duration,
}

/// A circuit breaker.
pub struct Breaker {
    layer: CircuitBreakerLayer<DefaultClassifier>,
    slow_after: Duration,
    reopens_at: Arc<Mutex<Option<Instant>>>,
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum NoAnswer<E> {
    /// The circuit is open: no call was made. Worth a try after this time.
    Open(Duration),
    /// The call failed.
    Failed(E),
}

/// A call that counts against the circuit.
enum Bad<T, E> {
    /// It succeeded too late.
    Slow(T),
    Failed(E),
}

impl Breaker {
    /// A closed circuit around a party. Calls that take `slow_after` or longer count as failed.
    pub fn new(target: &'static str, slow_after: Duration, metrics: &Metrics) -> Self {
        let gauge = metrics.circuit(target);
        let terms = Terms { failures: FAILURES, pause: PAUSE, slow_after };
        Self::of(target, terms, move |state| show(target, &gauge, state))
    }

    /// A closed circuit of other terms, which logs and counts nothing by itself: for parties of which there are many.
    pub fn of(
        name: &'static str,
        terms: Terms,
        on_change: impl Fn(CircuitState) + Send + Sync + 'static,
    ) -> Self {
        let Terms { failures, pause, slow_after } = terms;
        let reopens_at = Arc::new(Mutex::new(None));
        let on_transition = {
            let reopens_at = reopens_at.clone();
            move |_: State, to: State| {
                *reopens_at.lock() = (to == State::Open).then(|| Instant::now() + pause);
                on_change(state_of(to));
            }
        };
        let (layer, _) = CircuitBreakerLayer::builder()
            .name(name)
            .failure_model(FailureModel::ConsecutiveFailures { k: failures })
            .wait_duration_in_open(Duration::ZERO)
            .permitted_calls_in_half_open(PROBES)
            .on_state_transition(on_transition)
            .build_with_handle()
            .expect("the settings are constants");
        Self { layer, slow_after, reopens_at }
    }

    /// Makes the call, unless the circuit is open.
    pub async fn call<T, E>(&self, call: BoxFuture<'static, Result<T, E>>) -> Result<T, NoAnswer<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if let Some(pause) = self.closed_for() {
            return Err(NoAnswer::Open(pause));
        }
        let slow_after = self.slow_after;
        let timed = move |call: BoxFuture<'static, Result<T, E>>| async move {
            let asked_at = Instant::now();
            match call.await {
                Ok(answer) if asked_at.elapsed() >= slow_after => Err(Bad::Slow(answer)),
                Ok(answer) => Ok(answer),
                Err(error) => Err(Bad::Failed(error)),
            }
        };
        let mut circuit = self.layer.layer_fn(service_fn(timed));
        let answer = match circuit.ready().await {
            Ok(circuit) => circuit.call(call).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) | Err(CircuitBreakerError::Inner(Bad::Slow(answer))) => Ok(answer),
            Err(CircuitBreakerError::Inner(Bad::Failed(error))) => Err(NoAnswer::Failed(error)),
            Err(CircuitBreakerError::OpenCircuit) => {
                Err(NoAnswer::Open(self.closed_for().unwrap_or(PROBE_WAIT)))
            }
        }
    }

    /// How long no call goes out, if the circuit is open.
    pub fn closed_for(&self) -> Option<Duration> {
        let reopens_at = (*self.reopens_at.lock())?;
        let left = reopens_at.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

const fn state_of(state: State) -> CircuitState {
    match state {
        State::Closed => CircuitState::Closed,
        State::Open => CircuitState::Open,
        State::HalfOpen => CircuitState::HalfOpen,
    }
}

fn show(target: &'static str, gauge: &CircuitGauge, state: CircuitState) {
    gauge.set(state);
    match state {
        CircuitState::Closed => {
            info!(target_name = target, "the circuit is closed: calls go out again");
        }
        CircuitState::Open => {
            warn!(target_name = target, "the circuit is open: no call goes out for 5 seconds");
        }
        CircuitState::HalfOpen => {}
    }
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Breaker")
    }
}
