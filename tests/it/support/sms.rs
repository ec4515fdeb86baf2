//! An SMS provider with the API of Twilio that keeps what it gets, and misbehaves on request.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[derive(Default)]
struct Shared {
    taken: Mutex<Vec<HashMap<String, String>>>,
    plan: Mutex<VecDeque<u16>>,
}

/// The provider. It ends with the test's runtime.
pub struct SmsPeer {
    pub base: String,
    shared: Arc<Shared>,
}

impl SmsPeer {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let path = "/2010-04-01/Accounts/{account}/Messages.json";
        let router = Router::new().route(path, axum::routing::post(take));
        let router = router.with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, shared }
    }

    /// The forms of the SMS that it took.
    pub fn taken(&self) -> Vec<HashMap<String, String>> {
        self.shared.taken.lock().clone()
    }

    /// The next calls are answered with these statuses, and take nothing.
    pub fn plan(&self, statuses: impl IntoIterator<Item = u16>) {
        self.shared.plan.lock().extend(statuses);
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response<String> {
    let answer = |status: u16| {
        Response::builder().status(status).body(r#"{"sid":"SM1"}"#.to_owned()).expect("an answer")
    };
    if let Some(status) = shared.plan.lock().pop_front() {
        return answer(status);
    }
    // AC…1:0123…, in base 64.
    let expected = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==";
    let is_ours = headers.get("authorization").is_some_and(|token| token == expected);
    if !is_ours || account != ACCOUNT {
        return answer(401);
    }
    let form = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    shared.taken.lock().push(form);
    answer(201)
}
