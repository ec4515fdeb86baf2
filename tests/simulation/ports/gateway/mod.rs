//! The simulated gateway: a replica's way to the provider, on which calls and answers are lost, late, or both.

mod provider;

use super::chance::Fault;
use super::process::Process;
use airline_booking::domain::{Money, PaymentReference, RefundId};
use airline_booking::gateway::{Disputed, Gateway, GatewayError, Opened, Opening, Repaid};
use async_trait::async_trait;
use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

pub use provider::{Answer, Call, Entry, Provider, Refund, Standing};

/// Longest time of a call's way there, and of its answer's way back.
const LATENCY: Duration = Duration::from_millis(20);

/// Longest time that a slow call takes each way: both are below `GATEWAY_TIMEOUT`.
const SLOW: Duration = Duration::from_secs(4);

/// Longest time until a call without an answer lands: after its caller has given up, or been killed.
const LATE: Duration = Duration::from_secs(20);

/// A replica's connection to the provider.
pub struct SimGateway {
    provider: Provider,
    process: Process,
}

impl SimGateway {
    /// The connection of one process.
    pub fn new(provider: &Provider, process: &Process) -> Self {
        Self { provider: provider.clone(), process: process.clone() }
    }

    async fn call(&self, call: Call) -> Answer {
        let process = &self.process;
        process.alive().await;
        process.step(|| format!("calls {} {}", call.name(), call.reference()));
        if process.strikes(Fault::GatewayLostBefore) || self.provider.is_down() {
            process.pause(LATENCY).await;
            return Err(GatewayError::Unanswered("call lost".into()));
        }
        if process.strikes(Fault::GatewayHangs) {
            if process.chance().below(2) == 0 {
                // Its answer finds nobody.
                drop(self.send(call, LATE));
            }
            return pending().await;
        }
        if process.strikes(Fault::GatewayPanics) {
            if process.chance().below(2) == 0 {
                drop(self.send(call, LATENCY));
            }
            // As `panic!`, without the hook that prints it.
            resume_unwind(Box::new("the adapter of the gateway panics"));
        }
        let is_slow = process.strikes(Fault::GatewaySlow);
        let way = if is_slow { SLOW } else { LATENCY };
        let answer = self.send(call, way).await;
        process.pause(way).await;
        if process.strikes(Fault::GatewayLostAfter) {
            return Err(GatewayError::Unanswered("answer lost".into()));
        }
        answer.unwrap_or_else(|_| Err(GatewayError::Unanswered("provider gone".into())))
    }

    /// Sends a call that takes up to `way`. It is carried out whatever becomes of this process.
    fn send(&self, call: Call, way: Duration) -> oneshot::Receiver<Answer> {
        let (reply, answer) = oneshot::channel();
        let (provider, chance) = (self.provider.clone(), self.process.chance().clone());
        let (on_the_way, way) = (provider.expect_call(), chance.pause(way));
        tokio::spawn(async move {
            sleep(way).await;
            let answer = provider.carry_out(&call);
            chance.step(|| format!("provider: {} {}: {answer:?}", call.name(), call.reference()));
            drop(on_the_way);
            // Fails if the caller has left.
            let _ = reply.send(answer);
        });
        answer
    }
}

#[async_trait]
impl Gateway for SimGateway {
    async fn open(&self, capture: &Opening) -> Result<Opened, GatewayError> {
        self.call(Call::Open(capture.clone())).await
    }

    async fn status(&self, reference: PaymentReference) -> Result<Opened, GatewayError> {
        self.call(Call::Status(reference)).await
    }

    async fn void(&self, reference: PaymentReference) -> Result<(), GatewayError> {
        self.call(Call::Void(reference)).await.map(drop)
    }

    async fn refund(
        &self,
        id: RefundId,
        reference: PaymentReference,
        amount: Money,
    ) -> Result<Repaid, GatewayError> {
        self.call(Call::Refund(id, Refund { reference, amount })).await.map(|_| Repaid::Done)
    }

    async fn repaid(
        &self,
        id: RefundId,
        reference: PaymentReference,
    ) -> Result<Repaid, GatewayError> {
        self.call(Call::Status(reference)).await?;
        let is_made = self.provider.refunds().contains_key(&id);
        Ok(if is_made { Repaid::Done } else { Repaid::Processing })
    }

    /// The provider's own id of a payment is our reference.
    async fn dispute(&self, id: &str) -> Result<Option<Disputed>, GatewayError> {
        let payment: PaymentReference = id.parse().expect("a reference");
        self.call(Call::Status(payment)).await?;
        Ok(self.provider.dispute_of(payment))
    }
}
