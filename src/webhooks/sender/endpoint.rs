//! One receiver: what waits for it, how much may be on its way, and its circuit.

use crate::breaker::{Breaker, Terms};
use crate::domain::{Delivery, Webhook};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum deliveries on their way to one receiver.
const WINDOW_MAX: usize = 4;

/// Failures in a row that open a receiver's circuit, and how long it lets nothing through.
const FAILURES: usize = 5;
const PAUSE: Duration = Duration::from_secs(60);

/// A receiver.
pub(super) struct Endpoint {
    webhook: Arc<Webhook>,
    waiting: VecDeque<Delivery>,
    running: usize,
    /// How many may be on their way: one after a failure, and one more after each success.
    window: usize,
    circuit: Arc<Breaker>,
    /// The circuit was open, and nothing was delivered since.
    was_open: bool,
    used_at: Instant,
}

/// A delivery to start.
pub(super) struct Next {
    pub(super) webhook: Arc<Webhook>,
    pub(super) delivery: Delivery,
    pub(super) circuit: Arc<Breaker>,
}

impl Endpoint {
    pub(super) fn of(webhook: Webhook) -> Self {
        let slow_after = crate::webhooks::client::ANSWER_WITHIN * 2;
        let terms = Terms { failures: FAILURES, pause: PAUSE, slow_after };
        Self {
            webhook: Arc::new(webhook),
            waiting: VecDeque::new(),
            running: 0,
            window: 1,
            circuit: Arc::new(Breaker::of("webhook", terms, |_| {})),
            was_open: false,
            used_at: Instant::now(),
        }
    }

    /// Takes further deliveries, and the webhook as it is now.
    pub(super) fn renew(&mut self, webhook: Webhook) {
        self.webhook = Arc::new(webhook);
    }

    pub(super) fn push(&mut self, delivery: Delivery) {
        self.waiting.push_back(delivery);
    }

    pub(super) fn is_open(&self) -> bool {
        self.circuit.closed_for().is_some()
    }

    /// Whether nothing more of it should be read from the store.
    pub(super) fn is_busy(&self) -> bool {
        self.is_open() || self.waiting.len() > WINDOW_MAX
    }

    /// Whether its last attempt failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.window == 1
    }

    /// Whether it can be forgotten.
    pub(super) fn is_idle_since(&self, instant: Instant) -> bool {
        self.running == 0 && self.waiting.is_empty() && !self.is_open() && self.used_at < instant
    }

    /// The next delivery, if it may start.
    pub(super) fn next(&mut self) -> Option<Next> {
        if self.running >= self.window || self.is_open() {
            return None;
        }
        let delivery = self.waiting.pop_front()?;
        self.running += 1;
        self.used_at = Instant::now();
        Some(Next { webhook: self.webhook.clone(), delivery, circuit: self.circuit.clone() })
    }

    /// An attempt ended. Returns whether the receiver answers again after its circuit was open.
    pub(super) fn end(&mut self, is_delivered: bool) -> bool {
        self.running = self.running.saturating_sub(1);
        self.window = if is_delivered { (self.window + 1).min(WINDOW_MAX) } else { 1 };
        self.was_open |= self.is_open();
        is_delivered && std::mem::take(&mut self.was_open)
    }

    /// Takes out what waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Delivery> + '_ {
        self.waiting.drain(..)
    }
}
