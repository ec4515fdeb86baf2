//! All receivers: which one is next.

use super::attempt::Sent;
use super::endpoint::{Endpoint, Next};
use crate::domain::{Delivery, DeliveryId, Timestamp, Webhook, WebhookId};
use crate::store::Attempt;
use crate::telemetry::{CircuitGauge, CircuitState, Metrics};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum deliveries on their way.
const RUNNING_MAX: usize = 256;

/// Maximum of them whose receivers failed before: those that hang leave room for the others.
const FAILING_MAX: usize = 128;

/// How long a receiver is remembered after its last attempt.
const KEPT_FOR: Duration = Duration::from_secs(3_600);

/// The receivers, in turn.
pub(super) struct Endpoints {
    all: BTreeMap<WebhookId, Endpoint>,
    /// Deliveries that wait here, are on their way, or have ended and are not noted.
    known: HashSet<DeliveryId>,
    running: usize,
    failing: HashSet<DeliveryId>,
    /// The receiver that had the last turn.
    last: WebhookId,
    recovered: Vec<WebhookId>,
    metrics: Metrics,
    gauge: CircuitGauge,
}

impl Endpoints {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            all: BTreeMap::new(),
            known: HashSet::new(),
            running: 0,
            failing: HashSet::new(),
            last: WebhookId(0),
            recovered: Vec::new(),
            metrics: metrics.clone(),
            gauge: metrics.circuit("webhooks"),
        }
    }

    /// Receivers of which nothing more should be read.
    pub(super) fn busy(&self) -> Vec<WebhookId> {
        let is_full = self.running >= RUNNING_MAX;
        let busy = self.all.iter().filter(|(_, endpoint)| is_full || endpoint.is_busy());
        busy.map(|(id, _)| *id).collect()
    }

    pub(super) fn knows(&self, delivery: &Delivery) -> bool {
        self.known.contains(&delivery.id)
    }

    /// Adds deliveries. Those of webhooks that are gone by now are left out.
    pub(super) fn add(&mut self, webhooks: Vec<Webhook>, due: Vec<Delivery>) {
        for webhook in webhooks {
            match self.all.get_mut(&webhook.id) {
                Some(endpoint) => endpoint.renew(webhook),
                None => drop(self.all.insert(webhook.id, Endpoint::of(webhook))),
            }
        }
        for delivery in due {
            let Some(endpoint) = self.all.get_mut(&delivery.webhook) else { continue };
            self.known.insert(delivery.id);
            endpoint.push(delivery);
        }
    }

    /// The next delivery to start: of the receivers in turn, one each.
    pub(super) fn next(&mut self) -> Option<Next> {
        if self.running >= RUNNING_MAX {
            return None;
        }
        let may_fail = self.failing.len() < FAILING_MAX;
        let behind = (Bound::Excluded(self.last), Bound::Unbounded);
        let mut found = first_of(self.all.range_mut(behind), may_fail);
        if found.is_none() {
            found = first_of(self.all.range_mut(..=self.last), may_fail);
        }
        let (next, is_failing) = found?;
        self.last = next.delivery.webhook;
        self.running += 1;
        if is_failing {
            self.failing.insert(next.delivery.id);
        }
        Some(next)
    }

    /// An attempt ended. Returns what to note, if something was sent.
    pub(super) fn end(&mut self, sent: &Sent, now: Timestamp) -> Option<Attempt> {
        let Delivery { id, webhook, .. } = sent.delivery;
        self.running -= 1;
        self.failing.remove(&id);
        if let Some(endpoint) = self.all.get_mut(&webhook) {
            if endpoint.end(sent.answer.is_ok()) {
                self.recovered.push(webhook);
            }
            if endpoint.is_open() {
                self.drop_waiting(webhook);
            }
        }
        self.show_circuits();
        let ended = sent.ended(now);
        if ended.is_none() {
            self.known.remove(&id);
        }
        ended
    }

    /// Drops what waits for a receiver: it stays in the store.
    pub(super) fn drop_waiting(&mut self, webhook: WebhookId) {
        let Some(endpoint) = self.all.get_mut(&webhook) else { return };
        for dropped in endpoint.drain() {
            self.known.remove(&dropped.id);
        }
    }

    /// An attempt is noted: its delivery may become due again.
    pub(super) fn forget(&mut self, attempt: &Attempt) {
        self.known.remove(&attempt.delivery);
    }

    /// Receivers that answer again since the last call.
    pub(super) fn recovered(&mut self) -> Vec<WebhookId> {
        std::mem::take(&mut self.recovered)
    }

    /// Forgets receivers that had nothing for long.
    pub(super) fn prune(&mut self) {
        if let Some(before) = Instant::now().checked_sub(KEPT_FOR) {
            self.all.retain(|_, endpoint| !endpoint.is_idle_since(before));
        }
        self.show_circuits();
    }

    /// The target `webhooks` is open while no receiver takes calls: then the fault is likely this side's.
    fn show_circuits(&self) {
        let open = self.all.values().filter(|endpoint| endpoint.is_open()).count();
        self.metrics.webhooks.set_circuits_open(open);
        let is_open = open > 0 && open == self.all.len();
        self.gauge.set(if is_open { CircuitState::Open } else { CircuitState::Closed });
    }
}

/// The first receiver's next delivery, and whether that receiver failed before.
fn first_of<'a>(
    mut endpoints: impl Iterator<Item = (&'a WebhookId, &'a mut Endpoint)>,
    may_fail: bool,
) -> Option<(Next, bool)> {
    endpoints.find_map(|(_, endpoint)| {
        let is_failing = endpoint.is_failing();
        let next = (may_fail || !is_failing).then(|| endpoint.next()).flatten()?;
        Some((next, is_failing))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::NoAnswer;
    use crate::domain::{DeliveryStatus, SigningSecret, UserId, WebhookStatus, WebhookUrl};
    use crate::webhooks::client::NotDelivered;
    use std::sync::Arc;

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000, 0).expect("an instant")
    }

    fn webhook(id: i64) -> Webhook {
        Webhook {
            id: WebhookId(id),
            owner: UserId(0),
            url: WebhookUrl::stored("https://partner.example/"),
            types: Arc::from([]),
            secret: SigningSecret::of(&[1; 32]),
            old_secret: None,
            status: WebhookStatus::Active,
            failing_since: None,
            created_at: now(),
        }
    }

    fn delivery(webhook: i64, id: i64) -> Delivery {
        Delivery {
            id: DeliveryId(id),
            webhook: WebhookId(webhook),
            event_id: id.to_string().into(),
            kind: "flight.updated".into(),
            flight: None,
            payload: "{}".into(),
            status: DeliveryStatus::Pending,
            attempts: 0,
            response_status: None,
            at: now(),
        }
    }

    /// Receivers 1 to `receivers`, each with so many deliveries.
    fn endpoints(receivers: i64, each: i64) -> Endpoints {
        let mut endpoints = Endpoints::new(&Metrics::new());
        let due =
            (1..=receivers).flat_map(|its| (0..each).map(move |n| delivery(its, its * 1_000 + n)));
        endpoints.add((1..=receivers).map(webhook).collect(), due.collect());
        endpoints
    }

    fn started(endpoints: &mut Endpoints) -> Vec<Delivery> {
        std::iter::from_fn(|| endpoints.next()).map(|next| next.delivery).collect()
    }

    fn delivered(endpoints: &mut Endpoints, delivery: Delivery) {
        let ended = endpoints.end(&Sent { delivery, answer: Ok(200) }, now()).expect("sent");
        endpoints.forget(&ended);
    }

    #[test]
    fn receivers_take_turns_and_have_more_on_their_way_the_more_they_answer() {
        let mut endpoints = endpoints(2, 20);
        let first = started(&mut endpoints);
        assert_eq!(first.iter().map(|its| its.webhook.0).collect::<Vec<_>>(), [1, 2]);
        for delivery in first {
            delivered(&mut endpoints, delivery);
        }
        let second = started(&mut endpoints);
        assert_eq!(second.iter().map(|its| its.webhook.0).collect::<Vec<_>>(), [1, 2, 1, 2]);
        let one = second.into_iter().next().expect("one");
        let failed = Err(NoAnswer::Failed(NotDelivered::Refused(500)));
        endpoints.end(&Sent { delivery: one, answer: failed }, now());
        assert!(started(&mut endpoints).is_empty(), "a receiver that failed gets one at a time");
    }

    #[test]
    fn receivers_that_hang_leave_room_for_the_others() {
        let mut endpoints = endpoints(400, 2);
        // None has answered yet.
        assert_eq!(started(&mut endpoints).len(), FAILING_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_circuit_keeps_nothing_back_and_its_end_is_told() {
        let mut endpoints = endpoints(1, 9);
        for _ in 0..5 {
            let next = endpoints.next().expect("the next");
            let call = async { Err::<u16, _>(NotDelivered::Refused(500)) };
            let answer = next.circuit.call(Box::pin(call)).await;
            endpoints.end(&Sent { delivery: next.delivery, answer }, now());
        }
        assert!(endpoints.next().is_none());
        assert_eq!(endpoints.busy(), [WebhookId(1)]);
        assert!(!endpoints.knows(&delivery(1, 1_008)), "what waited stays in the store");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(endpoints.busy().is_empty());
        endpoints.add(vec![webhook(1)], vec![delivery(1, 1_008)]);
        let next = endpoints.next().expect("the next");
        let answer = next.circuit.call(Box::pin(async { Ok::<_, NotDelivered>(200) })).await;
        endpoints.end(&Sent { delivery: next.delivery, answer }, now());
        assert_eq!(endpoints.recovered(), [WebhookId(1)]);
        assert_eq!(endpoints.recovered(), []);
    }
}
