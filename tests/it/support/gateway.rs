//! The simulated gateway behind a gate: the test decides when it answers.

use airline_booking::domain::{Money, PaymentReference, RefundId};
use airline_booking::gateway::sandbox::{Challenge, Sandbox, Verdict};
use airline_booking::gateway::simulated::SimulatedGateway;
use airline_booking::gateway::{Gateway, GatewayError, Opened, Opening, Repaid};
use airline_booking::store::StoreError;
use async_trait::async_trait;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

pub struct GatedGateway {
    gateway: SimulatedGateway,
    is_open: watch::Sender<bool>,
    are_refunds_open: watch::Sender<bool>,
    held_back: AtomicUsize,
}

impl GatedGateway {
    pub fn new(gateway: SimulatedGateway) -> Self {
        let [is_open, are_refunds_open] = [true; 2].map(watch::Sender::new);
        Self { gateway, is_open, are_refunds_open, held_back: AtomicUsize::new(0) }
    }

    /// From now on captures wait at the gate, before they reach the gateway.
    pub fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// From now on refunds and reversals wait at the gate too.
    pub fn close_refunds(&self) {
        self.are_refunds_open.send_replace(false);
    }

    /// Lets all calls through.
    pub fn open(&self) {
        self.is_open.send_replace(true);
        self.are_refunds_open.send_replace(true);
    }

    /// How many calls wait at the gate.
    pub fn held_back(&self) -> usize {
        self.held_back.load(Ordering::Acquire)
    }

    async fn pass(&self, gate: &watch::Sender<bool>) {
        let mut gate = gate.subscribe();
        if !*gate.borrow() {
            let _held = Held::at(&self.held_back);
            gate.wait_for(|open| *open).await.expect("the gate outlives its callers");
        }
    }
}

/// Counts one that waits at the gate, until it goes on or gives up.
struct Held<'a>(&'a AtomicUsize);

impl<'a> Held<'a> {
    fn at(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[async_trait]
impl Gateway for GatedGateway {
    async fn open(&self, capture: &Opening) -> Result<Opened, GatewayError> {
        self.pass(&self.is_open).await;
        self.gateway.open(capture).await
    }

    async fn status(&self, reference: PaymentReference) -> Result<Opened, GatewayError> {
        self.pass(&self.is_open).await;
        self.gateway.status(reference).await
    }

    async fn void(&self, reference: PaymentReference) -> Result<(), GatewayError> {
        self.pass(&self.are_refunds_open).await;
        self.gateway.void(reference).await
    }

    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<Repaid, GatewayError> {
        self.pass(&self.are_refunds_open).await;
        self.gateway.refund(id, reference, amount).await
    }
}

#[async_trait]
impl Sandbox for GatedGateway {
    async fn challenge(&self, payment: PaymentReference) -> Result<Option<Challenge>, StoreError> {
        self.gateway.challenge(payment).await
    }

    async fn act(
        &self,
        payment: PaymentReference,
        verdict: Verdict,
    ) -> Result<Option<Challenge>, StoreError> {
        self.gateway.act(payment, verdict).await
    }
}
