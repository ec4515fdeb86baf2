//! The states of circuit breakers.

use super::Metrics;
use super::registrar::Registrar;
use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec};
use std::collections::BTreeMap;

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go out.
    Closed = 0,
    /// No call goes out.
    Open = 1,
    /// A few calls go out, to see whether the party is well again.
    HalfOpen = 2,
}

/// The gauge of one circuit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CircuitGauge(IntGauge);

impl CircuitGauge {
    /// Sets the circuit's state.
    pub fn set(&self, state: CircuitState) {
        self.0.set(state as i64);
    }
}

pub(super) struct Circuits {
    states: IntGaugeVec,
    targets: Mutex<BTreeMap<&'static str, CircuitGauge>>,
}

impl Circuits {
    pub(super) fn register(registrar: &Registrar) -> Self {
        let states = registrar.gauges(
            "circuit_breaker_state",
            "0 while calls of the party go out, 1 while none does, 2 while a few probe it.",
            &["target"],
        );
        Self { states, targets: Mutex::default() }
    }
}

impl Metrics {
    /// The gauge of the circuit around a party: shown from now on, at first as closed.
    pub fn circuit(&self, target: &'static str) -> CircuitGauge {
        let mut targets = self.circuits.targets.lock();
        let gauge = || CircuitGauge(self.circuits.states.with_label_values(&[target]));
        targets.entry(target).or_insert_with(gauge).clone()
    }

    /// The circuits of this process, and whether each is closed.
    pub fn circuits(&self) -> Vec<(&'static str, bool)> {
        let targets = self.circuits.targets.lock();
        targets.iter().map(|(target, gauge)| (*target, gauge.0.get() == 0)).collect()
    }
}
