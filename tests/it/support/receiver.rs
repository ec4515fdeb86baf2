//! A partner's receiver, which does what a test says.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fastrand::Rng;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use sha2::Sha256;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a receiver does with the next event.
#[derive(Debug, Clone)]
pub enum Deed {
    Answer(u16),
    Redirect(String),
    /// It never answers.
    Hang,
    /// 200, and a body without end.
    Flood,
    /// 200, and a body that stops in the middle.
    Stall,
    /// 200, but it reads the event only after this time.
    Slow(Duration),
}

/// What came.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub seconds: String,
    pub signatures: Vec<String>,
    pub body: String,
}

impl Received {
    fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        Self {
            id: text("webhook-id").to_owned(),
            seconds: text("webhook-timestamp").to_owned(),
            signatures: text("webhook-signature").split(' ').map(str::to_owned).collect(),
            body: String::from_utf8(body.to_vec()).expect("UTF-8"),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Whether one of its signatures is by this secret.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = bytes_of(secret.strip_prefix("whsec_").expect("a secret"));
        let mac: Hmac<Sha256> = Hmac::new_from_slice(&key).expect("a key");
        let signed = format!("{}.{}.{}", self.id, self.seconds, self.body);
        self.signatures.iter().any(|signature| {
            let stated = bytes_of(signature.strip_prefix("v1,").expect("a version"));
            mac.clone().chain_update(&signed).verify_slice(&stated).is_ok()
        })
    }
}

/// The bytes of base64.
fn bytes_of(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).expect("a digit");
        bits = bits << 6 | u32::try_from(value).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[derive(Default)]
struct Inner {
    deeds: Mutex<VecDeque<Deed>>,
    /// What it does once the deeds are done.
    then: Mutex<Option<Deed>>,
    /// What it may do when an event comes for the first time, and one in how many meets it.
    faults: Mutex<Option<(Rng, u32)>>,
    received: Mutex<Vec<Received>>,
}

/// A receiver. It stops when it is dropped.
pub struct Receiver {
    pub url: String,
    /// Host and port.
    pub address: String,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let url = format!("http://{address}/hook?key=1");
        let inner = Arc::<Inner>::default();
        let router = Router::new().fallback(take).with_state(inner.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { url, address, inner, task }
    }

    /// Does these with the next events, one each, and answers 200 afterwards.
    pub fn plan(&self, deeds: impl IntoIterator<Item = Deed>) {
        self.inner.deeds.lock().expect("no panic").extend(deeds);
    }

    /// Does this with all further events.
    pub fn always(&self, deed: Deed) {
        *self.inner.then.lock().expect("no panic") = Some(deed);
    }

    /// From now on one in so many events meets a fault when it comes for the first time.
    pub fn misbehave(&self, seed: u64, one_in: u32) {
        *self.inner.faults.lock().expect("no panic") = Some((Rng::with_seed(seed), one_in));
    }

    /// All that came, in order.
    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().expect("no panic").clone()
    }

    /// The ids of the events that came, in order.
    pub fn ids(&self) -> Vec<String> {
        self.received().into_iter().map(|received| received.id).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    /// What it does with this event.
    fn deed(&self, id: &str) -> Deed {
        let planned = self.deeds.lock().expect("no panic").pop_front();
        let then = || self.then.lock().expect("no panic").clone();
        let drawn = || {
            let mut faults = self.faults.lock().expect("no panic");
            let (chance, one_in) = faults.as_mut()?;
            let is_struck = chance.u32(..*one_in) == 0;
            let received = self.received.lock().expect("no panic");
            let is_first = is_struck && !received.iter().any(|received| received.id == id);
            let slow = Duration::from_millis(chance.u64(100..1_000));
            let faults = [Deed::Answer(500), Deed::Answer(503), Deed::Hang, Deed::Slow(slow)];
            is_first.then(|| faults[chance.usize(..faults.len())].clone())
        };
        planned.or_else(then).or_else(drawn).unwrap_or(Deed::Answer(200))
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Body) -> Response {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let deed = inner.deed(id);
    if let Deed::Slow(time) = deed {
        tokio::time::sleep(time).await;
    }
    // A sender that was killed leaves half an event.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    inner.received.lock().expect("no panic").push(Received::of(&headers, &body));
    match deed {
        Deed::Slow(_) => StatusCode::OK.into_response(),
        Deed::Answer(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Deed::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
        Deed::Hang => std::future::pending().await,
        Deed::Flood => Body::from_stream(futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 16 * 1024]))
        }))
        .into_response(),
        Deed::Stall => {
            let stalled = futures::stream::unfold(0, |sent| async move {
                if sent > 0 {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                }
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), sent + 1))
            });
            Body::from_stream(stalled).into_response()
        }
    }
}
