//! The HTTP server of the account: keys, faults, and the log of calls.

use super::account::{Account, Params, Reply, error};
use airline_booking::gateway::stripe::API_VERSION;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The account's secret key.
pub const API_KEY: &str = "sk_test_hostile";

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The call is carried out only after this time.
    DelayedBefore(Duration),
    /// The call is carried out at once, and answered after this time.
    DelayedAfter(Duration),
    /// Nothing happens, and the key keeps a 500.
    FailsBefore,
    /// The call is carried out, and the key keeps a 500.
    FailsAfter,
    /// The call is carried out, and its answer is lost.
    LosesAnswer,
    /// The same key is in use by another call.
    Locked,
    /// Too many calls.
    Limited,
    /// The call is carried out twice.
    Duplicated,
    /// The call is refused for good, without effect.
    Refuses,
}

/// A fault for the next call whose method and path contain a text.
type Plan = VecDeque<(&'static str, Fault)>;

#[derive(Default)]
struct Shared {
    account: Mutex<Account>,
    plan: Mutex<Plan>,
    /// Draws faults beside the plan.
    chance: Mutex<Option<fastrand::Rng>>,
}

/// The faults of a Stripe that misbehaves.
const FAULTS: [Fault; 8] = [
    Fault::DelayedBefore(Duration::from_millis(200)),
    Fault::DelayedAfter(Duration::from_millis(200)),
    Fault::FailsBefore,
    Fault::FailsAfter,
    Fault::LosesAnswer,
    Fault::Locked,
    Fault::Limited,
    Fault::Duplicated,
];

impl Shared {
    fn fault_of(&self, call: &str) -> Option<Fault> {
        let mut plan = self.plan.lock();
        let place = plan.iter().position(|(text, _)| call.ends_with(text));
        let planned = place.and_then(|place| plan.remove(place)).map(|(_, fault)| fault);
        let drawn = || {
            let mut chance = self.chance.lock();
            let chance = chance.as_mut()?;
            (chance.u8(..4) == 0).then(|| FAULTS[chance.usize(..FAULTS.len())])
        };
        planned.or_else(drawn)
    }
}

/// The server. It ends with the test's runtime.
pub struct FakeStripe {
    /// Its origin, for `STRIPE_API_BASE`.
    pub base: String,
    shared: Arc<Shared>,
}

impl FakeStripe {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, shared }
    }

    pub fn account(&self) -> MutexGuard<'_, Account> {
        self.shared.account.lock()
    }

    /// The next call like `POST /v1/refunds` meets this fault.
    pub fn plan(&self, call: &'static str, fault: Fault) {
        self.shared.plan.lock().push_back((call, fault));
    }

    /// From now on each fourth call meets a fault.
    pub fn misbehave(&self, seed: u64) {
        *self.shared.chance.lock() = Some(fastrand::Rng::with_seed(seed));
    }

    /// Only planned faults from now on.
    pub fn behave(&self) {
        *self.shared.chance.lock() = None;
    }

    /// A day later: no answer is kept any more.
    pub fn forget_keys(&self) {
        self.account().keys.clear();
    }

    /// How many calls contained a text.
    pub fn calls(&self, text: &str) -> usize {
        self.account().calls.iter().filter(|call| call.contains(text)).count()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = format!("{method} {}", uri.path());
    let fault = shared.fault_of(&call);
    if let Some(Fault::DelayedBefore(time)) = fault {
        tokio::time::sleep(time).await;
    }
    let reply = carry_out(&shared, &method, &uri, &headers, &body, fault);
    match fault {
        Some(Fault::DelayedAfter(time)) => tokio::time::sleep(time).await,
        Some(Fault::LosesAnswer) => {
            let lost = futures::stream::once(async { Err::<Bytes, _>(io::Error::other("lost")) });
            return Response::new(Body::from_stream(lost));
        }
        _ => {}
    }
    let (status, body) = reply;
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).expect("a response")
}

fn carry_out(
    shared: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    fault: Option<Fault>,
) -> Reply {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("stripe-version"), Some(API_VERSION));
    if header("authorization") != Some(&*format!("Bearer {API_KEY}")) {
        return error(401, "invalid_request_error", None, None);
    }
    let is_get = *method == Method::GET;
    let encoded = if is_get { uri.query().unwrap_or_default().as_bytes() } else { body };
    let params: Params = form_urlencoded::parse(encoded).into_owned().collect();
    let mut account = shared.account.lock();
    let key = header("idempotency-key").unwrap_or_default().to_owned();
    account.calls.push(format!("{method} {} {key}", uri.path()));
    let failed = || error(500, "api_error", None, None);
    match fault {
        Some(Fault::Locked) => {
            return error(409, "idempotency_error", Some("idempotency_key_in_use"), None);
        }
        Some(Fault::Limited) => {
            return error(429, "invalid_request_error", Some("rate_limit"), None);
        }
        Some(Fault::FailsBefore | Fault::FailsAfter) if is_get => return failed(),
        _ => {}
    }
    let text = method.as_str();
    if is_get {
        return account.handle(text, uri.path(), &params);
    }
    assert!(!key.is_empty(), "a POST without a key: {uri}");
    let hash = format!("{} {params:?}", uri.path());
    if let Some((asked, reply)) = account.keys.get(&key) {
        let is_same = *asked == hash;
        return if is_same { reply.clone() } else { error(400, "idempotency_error", None, None) };
    }
    let reply = match fault {
        Some(Fault::FailsBefore) => failed(),
        Some(Fault::Refuses) => {
            error(400, "invalid_request_error", Some("payment_method_unactivated"), None)
        }
        Some(Fault::FailsAfter) => {
            account.handle(text, uri.path(), &params);
            failed()
        }
        Some(Fault::Duplicated) => {
            account.handle(text, uri.path(), &params);
            account.handle(text, uri.path(), &params)
        }
        _ => account.handle(text, uri.path(), &params),
    };
    account.keys.insert(key, (hash, reply.clone()));
    reply
}
