//! Authorization: every endpoint with every kind of token.

use crate::support::jwt::base64url;
use crate::support::jwt::{public_key, token};
use crate::support::{Answer, TestApp, booking, eventually, flight, start_of_test};
use airline_booking::config::{Config, JwtSettings, KeySource, RateLimit};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use http::{Method, Request};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "a secret of thirty-two bytes, or more";
const OWNER: i64 = 123;

const RSA: &[u8] = include_bytes!("keys/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("keys/rsa-public.pem");
const OTHER_RSA: &[u8] = include_bytes!("keys/other-rsa.pem");
const EC: &[u8] = include_bytes!("keys/ec.pem");
const ED: &[u8] = include_bytes!("keys/ed.pem");

fn settings(keys: KeySource) -> JwtSettings {
    JwtSettings {
        keys,
        issuer: Some("https://id.example".into()),
        audience: Some("airline-booking".into()),
        leeway: Duration::from_secs(30),
        token_type: None,
        lifetime_max: Some(Duration::from_hours(24)),
    }
}

fn by_secret(config: &mut Config) {
    config.auth = Some(settings(KeySource::Secret(SECRET.into())));
}

/// Claims that are accepted, of a user with these scopes.
fn claims(user: i64, scope: &str) -> Value {
    let now = start_of_test().timestamp();
    json!({
        "sub": user.to_string(), "iss": "https://id.example", "aud": "airline-booking",
        "exp": now + 300, "iat": now, "scope": scope
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    token(&Header::default(), claims, &key)
}

fn signed_by(algorithm: Algorithm, id: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: id.map(Into::into), ..Header::new(algorithm) };
    token(&header, claims, key)
}

/// Signed, with a `typ` in its header.
fn typed(typ: Option<&str>, claims: &Value) -> String {
    let header = Header { typ: typ.map(str::to_owned), ..Header::default() };
    token(&header, claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

/// A token of our own making: header and claims as they are, and a signature.
fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    format!(
        "{}.{}.{signature}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.to_string().as_bytes())
    )
}

async fn ask(
    app: &TestApp,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    app.send(request.body(body).expect("a request")).await
}

/// A flight and a booking of the owner's on it.
async fn prepare(app: &TestApp) -> (i64, i64) {
    let staff = signed(&claims(1, "flights:write bookings:admin"));
    let created = ask(app, Method::POST, "/api/v1/flights", Some(&staff), Some(&flight(100))).await;
    assert_eq!(created.status, 201, "{created:?}");
    let flight = created.json["id"].as_i64().expect("an id");
    let owner = signed(&claims(OWNER, ""));
    let body = booking(flight, 1);
    let placed = ask(app, Method::POST, "/api/v1/bookings", Some(&owner), Some(&body)).await;
    (flight, placed.booking_id())
}

#[tokio::test]
async fn staff_holds_as_many_seats_unpaid_as_it_wants_and_a_user_does_not() {
    let app = TestApp::with(|config| {
        by_secret(config);
        config.max_pending_per_user = Some(3);
    })
    .await;
    let (flight, _) = prepare(&app).await;
    app.run_until_idle().await;
    app.gateway.close();
    let user = signed(&claims(OWNER, ""));
    let staff = signed(&claims(1, "bookings:admin"));
    let book = async |token: &str, seats| {
        let body = booking(flight, seats);
        ask(&app, Method::POST, "/api/v1/bookings", Some(token), Some(&body)).await
    };
    book(&user, 3).await.booking_id();
    book(&user, 1).await.assert_problem(409, "too_many_pending");
    book(&staff, 9).await.booking_id();
    book(&user, 1).await.assert_problem(409, "too_many_pending");
    book(&staff, 9).await.booking_id();
    app.finish().await;
}

/// Every endpoint that needs a caller: method, path and a valid body.
fn guarded(flight: i64, booked: i64) -> Vec<(Method, String, Option<Value>)> {
    vec![
        (Method::POST, "/api/v1/flights".into(), Some(self::flight(10))),
        (Method::PUT, format!("/api/v1/flights/{flight}"), Some(json!({"price": 10}))),
        (Method::POST, "/api/v1/bookings".into(), Some(booking(flight, 1))),
        (Method::GET, format!("/api/v1/bookings/{booked}"), None),
        (Method::GET, format!("/api/v1/users/{OWNER}/bookings"), None),
        (Method::POST, format!("/api/v1/bookings/{booked}/cancel"), None),
        (Method::POST, "/api/v1/itineraries".into(), Some(itinerary(flight))),
        (Method::GET, format!("/api/v1/itineraries/{booked}"), None),
        (Method::POST, format!("/api/v1/itineraries/{booked}/cancel"), None),
        (Method::GET, "/api/v1/flights".into(), None),
        (Method::GET, format!("/api/v1/flights/{flight}/bookings"), None),
    ]
}

/// The body of an itinerary of one flight.
fn itinerary(flight: i64) -> Value {
    let mut body = without(booking(0, 1), "flight_id");
    body["segments"] = json!([{"flight_id": flight}]);
    body
}

fn open(flight: i64) -> Vec<String> {
    vec![
        "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20".into(),
        format!("/api/v1/flights/{flight}"),
        "/api/v1/health".into(),
        "/livez".into(),
        "/readyz".into(),
        "/metrics".into(),
        "/openapi.json".into(),
    ]
}

/// Tokens that are refused, each with its fault.
fn unacceptable() -> Vec<(&'static str, String)> {
    let sound = claims(OWNER, "flights:write bookings:admin");
    let now = start_of_test().timestamp();
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes or more");
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key");
    let good = signed(&sound);
    let (unsigned, _) = good.rsplit_once('.').expect("three parts");
    let critical = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    vec![
        ("nothing", String::new()),
        ("garbage", "garbage".into()),
        ("dots", "..".into()),
        ("too long", "x".repeat(10_000)),
        ("expired", signed(&with(sound.clone(), "exp", json!(now - 31)))),
        ("never expires", signed(&without(sound.clone(), "exp"))),
        ("expiry in words", signed(&with(sound.clone(), "exp", json!("tomorrow")))),
        ("not yet valid", signed(&with(sound.clone(), "nbf", json!(now + 31)))),
        ("issued later than now", signed(&with(sound.clone(), "iat", json!(now + 31)))),
        ("issue in words", signed(&with(sound.clone(), "iat", json!("today")))),
        (
            "a hundred years long",
            signed(&with(sound.clone(), "exp", json!(now + 3_153_600_000_i64))),
        ),
        ("nearly for ever", signed(&with(sound.clone(), "exp", json!(1e300)))),
        ("long, and its issue unsaid", {
            signed(&without(with(sound.clone(), "exp", json!(now + 86_431)), "iat"))
        }),
        ("long since its issue", signed(&with(sound.clone(), "iat", json!(now - 86_400)))),
        ("a logout token", typed(Some("logout+jwt"), &sound)),
        ("a type of another kind", typed(Some("application/secevent+jwt"), &sound)),
        ("no type, in words", typed(Some(""), &sound)),
        ("an ID token", signed(&with(sound.clone(), "at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")))),
        ("an ID token of a code", signed(&with(sound.clone(), "c_hash", json!("LDktKdoQak3Pk0")))),
        ("another's signature", signed_by(Algorithm::HS256, None, &other, &sound)),
        ("no signature", format!("{unsigned}.")),
        ("alg none", forged(&json!({"alg": "none"}), &sound, "")),
        ("alg None", forged(&json!({"alg": "None"}), &sound, "")),
        ("no alg", forged(&json!({"typ": "JWT"}), &sound, "")),
        ("critical header", forged(&critical, &sound, "AAAA")),
        ("HS384 by the same secret", signed_by(Algorithm::HS384, None, &secret, &sound)),
        ("RS256 by a key we do not have", signed_by(Algorithm::RS256, None, &rsa, &sound)),
        ("another issuer", signed(&with(sound.clone(), "iss", json!("https://evil.example")))),
        ("no issuer", signed(&without(sound.clone(), "iss"))),
        ("another audience", signed(&with(sound.clone(), "aud", json!("billing")))),
        ("other audiences", signed(&with(sound.clone(), "aud", json!(["billing", "mail"])))),
        ("no audience", signed(&without(sound.clone(), "aud"))),
        ("no subject", signed(&without(sound.clone(), "sub"))),
        ("a name as subject", signed(&with(sound.clone(), "sub", json!("asha")))),
        ("a negative subject", signed(&with(sound.clone(), "sub", json!("-5")))),
        ("a subject with a sign", signed(&with(sound.clone(), "sub", json!("+123")))),
        ("a subject with zeros", signed(&with(sound.clone(), "sub", json!("0123")))),
        ("a subject with a space", signed(&with(sound, "sub", json!(" 123")))),
    ]
}

#[tokio::test]
async fn every_protected_endpoint_refuses_an_invalid_token() {
    let app = TestApp::with(by_secret).await;
    let (flight, booked) = prepare(&app).await;
    for (kind, token) in unacceptable() {
        for (method, path, body) in guarded(flight, booked) {
            let answer = ask(&app, method, &path, Some(&token), body.as_ref()).await;
            assert_eq!(answer.status, 401, "{kind} {path} {answer:?}");
            answer.assert_problem(401, "unauthenticated");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{kind}");
        }
        for path in open(flight) {
            assert_eq!(ask(&app, Method::GET, &path, Some(&token), None).await.status, 200);
        }
    }
    for (method, path, body) in guarded(flight, booked) {
        let answer = ask(&app, method.clone(), &path, None, body.as_ref()).await;
        answer.assert_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        for header in ["Basic YTpi", "Bearer", "Bearer a b", "bearer"] {
            let request = Request::builder().method(&method).uri(&path);
            let request = request.header("authorization", header).body(Body::empty());
            app.send(request.expect("a request")).await.assert_problem(401, "unauthenticated");
        }
    }
    for path in open(flight) {
        assert_eq!(ask(&app, Method::GET, &path, None, None).await.status, 200, "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_user_sees_and_books_as_themselves_and_staff_as_its_scopes_allow() {
    let app = TestApp::with(by_secret).await;
    let (flight, booked) = prepare(&app).await;
    // In the order of `guarded`: a flight made, changed; a booking made, read; listed; cancelled. Last the
    // bookings of a flight.
    let kinds = [
        ("the owner", claims(OWNER, ""), [403, 403, 201, 200, 200, 200, 403]),
        ("another user", claims(7, ""), [403, 403, 403, 404, 403, 404, 403]),
        ("flights staff", claims(7, "flights:write"), [201, 200, 403, 404, 403, 404, 403]),
        ("bookings staff", claims(7, "openid bookings:admin"), [403, 403, 201, 200, 200, 200, 200]),
        (
            "scopes as a list",
            with(claims(7, ""), "scope", json!(["flights:write", "bookings:admin"])),
            [201, 200, 201, 200, 200, 200, 200],
        ),
        (
            "scopes called scp",
            with(claims(7, ""), "scp", json!("flights:write")),
            [201, 200, 403, 404, 403, 404, 403],
        ),
        (
            "a scope like ours",
            claims(7, "flights:writer xbookings:admin"),
            [403, 403, 403, 404, 403, 404, 403],
        ),
        (
            "a number as subject",
            with(claims(OWNER, ""), "sub", json!(OWNER)),
            [403, 403, 201, 200, 200, 200, 403],
        ),
        (
            "one of several audiences",
            with(claims(OWNER, ""), "aud", json!(["mail", "airline-booking"])),
            [403, 403, 201, 200, 200, 200, 403],
        ),
        (
            "just expired, within the leeway",
            with(claims(OWNER, ""), "exp", json!(start_of_test().timestamp() - 29)),
            [403, 403, 201, 200, 200, 200, 403],
        ),
    ];
    for (kind, claims, expected) in kinds {
        let token = signed(&claims);
        // An itinerary is placed, read and cancelled by those who may do so with a booking; flights are listed
        // by those who may change them.
        let expected = [0, 1, 2, 3, 4, 5, 2, 3, 5, 1, 6].map(|call: usize| expected[call]);
        for ((method, path, body), expected) in guarded(flight, booked).into_iter().zip(expected) {
            let answer = ask(&app, method, &path, Some(&token), body.as_ref()).await;
            assert_eq!(answer.status, expected, "{kind} {path} {answer:?}");
            match expected {
                403 => answer.assert_problem(403, "forbidden"),
                404 => answer.assert_problem(404, "not_found"),
                _ => {}
            }
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn after_the_departure_staff_alone_gives_back_more_than_the_taxes() {
    let app = TestApp::with(by_secret).await;
    let (_, booked) = prepare(&app).await;
    app.run_until_idle().await;
    app.clock.advance(chrono::TimeDelta::days(20));
    let token = |user, scope| {
        let issued = start_of_test().timestamp() + 20 * 24 * 3_600;
        let valid = with(claims(user, scope), "iat", json!(issued));
        signed(&with(valid, "exp", json!(issued + 300)))
    };
    let path = format!("/api/v1/bookings/{booked}/cancel");
    let owner = token(OWNER, "flights:write");
    let quote = format!("/api/v1/bookings/{booked}/cancellation");
    let rule = async |token: &str| {
        ask(&app, Method::GET, &quote, Some(token), None).await.json["rule"].clone()
    };
    assert_eq!(rule(&owner).await, "no-show");
    let staff = token(7, "bookings:admin");
    assert_eq!(rule(&staff).await, "free/1");
    let cancelled = ask(&app, Method::POST, &path, Some(&staff), None).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    assert_eq!(
        (&cancelled.json["status"], &cancelled.json["fee"]),
        (&json!("cancelled"), &json!(0.0))
    );
    app.finish().await;
}

#[tokio::test]
async fn another_users_booking_looks_like_a_missing_one() {
    let app = TestApp::with(by_secret).await;
    let (_, booked) = prepare(&app).await;
    let stranger = signed(&claims(7, ""));
    let path = |id: i64| format!("/api/v1/bookings/{id}");
    let anothers = ask(&app, Method::GET, &path(booked), Some(&stranger), None).await;
    let missing = ask(&app, Method::GET, &path(booked + 1), Some(&stranger), None).await;
    let shown =
        |answer: &Answer, id: i64| answer.json["detail"].to_string().replace(&id.to_string(), "#");
    assert_eq!(shown(&anothers, booked), shown(&missing, booked + 1));
    let cancel = format!("{}/cancel", path(booked));
    let cancelled = ask(&app, Method::POST, &cancel, Some(&stranger), None).await;
    cancelled.assert_problem(404, "not_found");
    let owner = signed(&claims(OWNER, ""));
    let seen = ask(&app, Method::GET, &path(booked), Some(&owner), None).await;
    assert_ne!(seen.json["status"], "cancelled");
    app.finish().await;
}

#[tokio::test]
async fn an_unauthorized_request_is_refused_before_its_body_is_read() {
    let app = TestApp::with(by_secret).await;
    let nonsense = json!("nonsense");
    let path = "/api/v1/bookings/nonsense";
    ask(&app, Method::GET, path, None, None).await.assert_problem(401, "unauthenticated");
    let body = Some(&nonsense);
    let answer = ask(&app, Method::POST, "/api/v1/bookings", None, body).await;
    answer.assert_problem(401, "unauthenticated");
    let user = signed(&claims(OWNER, ""));
    let answer = ask(&app, Method::POST, "/api/v1/flights", Some(&user), body).await;
    answer.assert_problem(403, "forbidden");
    let challenge = answer.header("www-authenticate");
    let expected = "Bearer error=\"insufficient_scope\", scope=\"flights:write\"";
    assert_eq!(challenge, Some(expected));
    let listed = ask(&app, Method::GET, "/api/v1/flights?nonsense", Some(&user), None).await;
    listed.assert_problem(403, "forbidden");
    let manifest = "/api/v1/flights/999/bookings?nonsense";
    let refused = ask(&app, Method::GET, manifest, Some(&user), None).await;
    refused.assert_problem(403, "forbidden");
    let challenge = refused.header("www-authenticate");
    let expected = "Bearer error=\"insufficient_scope\", scope=\"bookings:admin\"";
    assert_eq!(challenge, Some(expected));
    app.finish().await;
}

/// A set of these keys, each with its algorithm and name.
fn set(keys: &[(&EncodingKey, Algorithm, &str)]) -> Value {
    let keys = keys.iter().map(|(key, algorithm, id)| public_key(key, *algorithm, id));
    let for_others = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"});
    let unknown = json!({"kty": "new", "kid": "unknown"});
    json!({"keys": keys.chain([for_others, unknown]).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_token_of_another_type_or_beyond_the_size_limit_is_refused() {
    let path = format!("/api/v1/users/{OWNER}/bookings");
    let sound = claims(OWNER, "");
    let any: &[_] = &[None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("application/AT+JWT")];
    let (access, others) = any.split_at(3);
    for (wanted, accepted, refused) in [(None, any, &[][..]), (Some("at+jwt"), others, access)] {
        let app = TestApp::with(|config| {
            by_secret(config);
            config.auth.as_mut().expect("set").token_type = wanted.map(str::to_owned);
        })
        .await;
        for (types, status) in [(accepted, 200), (refused, 401)] {
            for typ in types {
                let answer = ask(&app, Method::GET, &path, Some(&typed(*typ, &sound)), None).await;
                assert_eq!(answer.status, status, "{typ:?} where {wanted:?} is wanted");
            }
        }
        app.finish().await;
    }
    let app = TestApp::with(|config| {
        by_secret(config);
        config.auth.as_mut().expect("set").lifetime_max = None;
    })
    .await;
    let long = with(sound, "exp", json!(4_000_000_000_i64));
    let answer = ask(&app, Method::GET, &path, Some(&signed(&long)), None).await;
    assert_eq!(answer.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn a_public_key_verifies_only_its_own_algorithm() {
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key");
    let other_rsa = EncodingKey::from_rsa_pem(OTHER_RSA).expect("a key");
    let ec = EncodingKey::from_ec_pem(EC).expect("a key");
    let ed = EncodingKey::from_ed_pem(ED).expect("a key");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keys.json");
    let known = [
        (&rsa, Algorithm::RS256, "rsa"),
        (&ec, Algorithm::ES256, "ec"),
        (&ed, Algorithm::EdDSA, "ed"),
    ];
    std::fs::write(&file, set(&known).to_string()).expect("written");
    let app = TestApp::with(|config| config.auth = Some(settings(KeySource::File(file)))).await;
    let sound = claims(OWNER, "");
    let path = format!("/api/v1/users/{OWNER}/bookings");
    let status =
        async |token: String| ask(&app, Method::GET, &path, Some(&token), None).await.status;
    for (key, algorithm, id) in known {
        assert_eq!(status(signed_by(algorithm, Some(id), key, &sound)).await, 200, "{id}");
        assert_eq!(status(signed_by(algorithm, None, key, &sound)).await, 200, "{id}, unnamed");
    }
    let by_public_key = EncodingKey::from_secret(RSA_PUBLIC);
    let by_empty = EncodingKey::from_secret(b"");
    let by_oct = EncodingKey::from_secret(b"secret");
    for (kind, token) in [
        (
            "HS256 by the public key",
            signed_by(Algorithm::HS256, Some("rsa"), &by_public_key, &sound),
        ),
        ("the same, unnamed", signed_by(Algorithm::HS256, None, &by_public_key, &sound)),
        ("HS256 by nothing", signed_by(Algorithm::HS256, Some("rsa"), &by_empty, &sound)),
        (
            "HS256 by a secret in the set",
            signed_by(Algorithm::HS256, Some("secret"), &by_oct, &sound),
        ),
        ("RS512", signed_by(Algorithm::RS512, Some("rsa"), &rsa, &sound)),
        ("PS256", signed_by(Algorithm::PS256, Some("rsa"), &rsa, &sound)),
        ("another key's name", signed_by(Algorithm::RS256, Some("ec"), &rsa, &sound)),
        ("another key", signed_by(Algorithm::RS256, Some("rsa"), &other_rsa, &sound)),
        ("alg none", forged(&json!({"alg": "none", "kid": "rsa"}), &sound, "")),
        ("expired", {
            let old = with(sound.clone(), "exp", json!(start_of_test().timestamp() - 60));
            signed_by(Algorithm::RS256, Some("rsa"), &rsa, &old)
        }),
    ] {
        assert_eq!(status(token).await, 401, "{kind}");
    }
    app.finish().await;
}

/// A server of keys, which counts how often it is asked.
async fn key_server(document: Arc<Mutex<String>>) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let keys = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let document = document.lock().expect("a document").clone();
        if document.is_empty() { Err(http::StatusCode::BAD_GATEWAY) } else { Ok(document) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let router = axum::Router::new().route("/keys", get(keys));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_once_and_again_for_an_unknown_key() {
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key");
    let ed = EncodingKey::from_ed_pem(ED).expect("a key");
    let document = Arc::new(Mutex::new(String::new()));
    let (url, asked) = key_server(document.clone()).await;
    let app = TestApp::with(|config| config.auth = Some(settings(KeySource::Url(url)))).await;
    let sound = with(claims(OWNER, ""), "exp", json!(start_of_test().timestamp() + 36_000));
    let path = format!("/api/v1/users/{OWNER}/bookings");
    let status =
        async |token: &str| ask(&app, Method::GET, &path, Some(token), None).await.status.as_u16();
    let asked = || asked.swap(0, Ordering::SeqCst);
    let old = signed_by(Algorithm::RS256, Some("old"), &rsa, &sound);
    let new = signed_by(Algorithm::EdDSA, Some("new"), &ed, &sound);

    // The issuer is away: that is not the caller's fault.
    assert_eq!((status(&old).await, asked()), (503, 1));
    assert_eq!((status(&old).await, asked()), (503, 0));

    *document.lock().expect("it") = set(&[(&rsa, Algorithm::RS256, "old")]).to_string();
    app.pass(Duration::from_secs(1)).await;
    for _ in 0..5 {
        assert_eq!(status(&old).await, 200);
    }
    assert_eq!(asked(), 1);

    // A key that is not there is asked for once in a while, however many tokens name it.
    *document.lock().expect("it") = set(&[(&ed, Algorithm::EdDSA, "new")]).to_string();
    app.pass(Duration::from_secs(29)).await;
    assert_eq!((status(&new).await, asked()), (401, 0));
    app.pass(Duration::from_secs(1)).await;
    assert_eq!((status(&new).await, asked()), (200, 1));
    assert_eq!((status(&old).await, asked()), (401, 0));

    // A set is believed for ten minutes, and for an hour while its issuer is away.
    document.lock().expect("it").clear();
    app.pass(Duration::from_secs(599)).await;
    assert_eq!((status(&new).await, asked()), (200, 0));
    app.pass(Duration::from_secs(1)).await;
    assert_eq!((status(&new).await, asked()), (200, 1));
    assert_eq!((status(&new).await, asked()), (200, 0));
    app.pass(Duration::from_secs(2_999)).await;
    assert_eq!((status(&new).await, asked()), (200, 1));
    app.pass(Duration::from_secs(1)).await;
    assert_eq!((status(&new).await, asked()), (503, 0));
    *document.lock().expect("it") = set(&[(&rsa, Algorithm::RS256, "old")]).to_string();
    app.pass(Duration::from_secs(30)).await;
    assert_eq!((status(&new).await, asked()), (401, 1));
    assert_eq!((status(&old).await, asked()), (200, 0));

    // It is read again before it is old, so that no caller waits for it.
    let tokens = app.app.tokens.clone().expect("AUTH=jwt");
    app.pass(Duration::from_secs(299)).await;
    tokens.keep_keys().await;
    assert_eq!(asked(), 0);
    app.pass(Duration::from_secs(1)).await;
    tokens.keep_keys().await;
    assert_eq!(asked(), 1);
    app.pass(Duration::from_secs(599)).await;
    assert_eq!((status(&old).await, asked()), (200, 0));
    app.finish().await;
}

#[tokio::test]
async fn a_hanging_issuer_delays_no_caller_with_a_known_key() {
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key");
    let (hangs, is_hung) = tokio::sync::watch::channel(false);
    let waits = Arc::new(AtomicUsize::new(0));
    let waiting = waits.clone();
    let document = set(&[(&rsa, Algorithm::RS256, "known")]).to_string();
    let keys = async move || {
        if *is_hung.borrow() {
            waiting.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        document.clone()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let router = axum::Router::new().route("/keys", get(keys));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let app = TestApp::with(|config| config.auth = Some(settings(KeySource::Url(url)))).await;
    let sound = with(claims(OWNER, ""), "exp", json!(start_of_test().timestamp() + 36_000));
    let known = signed_by(Algorithm::RS256, Some("known"), &rsa, &sound);
    let unknown = signed_by(Algorithm::RS256, Some("unknown"), &rsa, &sound);
    let path = format!("/api/v1/users/{OWNER}/bookings");
    let status = async |token: &str| ask(&app, Method::GET, &path, Some(token), None).await.status;
    assert_eq!(status(&known).await, 200);

    hangs.send(true).expect("it listens");
    app.pass(Duration::from_secs(300)).await;
    let tokens = app.app.tokens.clone().expect("AUTH=jwt");
    let keeping = tokio::spawn(async move { tokens.keep_keys().await });
    let is_asked = async || waits.load(Ordering::SeqCst) > 0;
    eventually("an issuer that was asked for its keys", is_asked).await;
    // A key that is not known is worth the wait, and its caller may go.
    let impatient = tokio::time::timeout(Duration::from_millis(50), status(&unknown)).await;
    assert!(impatient.is_err(), "{impatient:?}");
    app.pass(Duration::from_secs(300)).await;
    for _ in 0..3 {
        assert_eq!(status(&known).await, 200);
    }
    assert!(!keeping.is_finished(), "the issuer has answered, or was waited for");
    keeping.await.expect("it gives up");
    assert_eq!(status(&unknown).await, 401);
    app.finish().await;
}

#[tokio::test]
async fn callers_share_one_request_to_the_issuer_and_take_no_permit_meanwhile() {
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key");
    let asked = Arc::new(AtomicUsize::new(0));
    let (answer, answered) = tokio::sync::watch::channel(false);
    let counted = asked.clone();
    let keys = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = answered.clone().wait_for(|is_answered| *is_answered).await;
        http::StatusCode::BAD_GATEWAY
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let router = axum::Router::new().route("/keys", get(keys));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let app = TestApp::with(|config| {
        config.auth = Some(settings(KeySource::Url(url)));
        config.max_in_flight = 2;
    })
    .await;
    let sound = claims(OWNER, "");
    let token = signed_by(Algorithm::RS256, Some("unknown"), &rsa, &sound);
    let list = format!("/api/v1/users/{OWNER}/bookings");
    let booking = booking(1, 1);
    let reading = async || ask(&app, Method::GET, &list, Some(&token), None).await;
    let placing =
        async || ask(&app, Method::POST, "/api/v1/bookings", Some(&token), Some(&booking)).await;
    let callers = async { tokio::join!(reading(), placing(), reading(), placing(), reading()) };
    let beside = async {
        let waiting = async {
            while !app.get("/metrics").await.text.contains("http_in_flight_requests 6\n") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("all five wait");
        app.get("/api/v1/flights/999").await.assert_problem(404, "not_found");
        answer.send(true).expect("it listens");
    };
    let ((one, two, three, four, five), ()) = tokio::join!(callers, beside);
    for answer in [one, two, three, four, five] {
        answer.assert_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    reading().await.assert_problem(503, "unavailable");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one attempt for all, and none just after it");
    app.finish().await;
}

#[tokio::test]
async fn keys_of_a_file_are_read_again_when_it_changes() {
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("a key");
    let ed = EncodingKey::from_ed_pem(ED).expect("a key");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("keys.json");
    let write = |set: Value| std::fs::write(&file, set.to_string()).expect("written");
    write(set(&[(&rsa, Algorithm::RS256, "old")]));
    let source = KeySource::File(file.clone());
    let app = TestApp::with(|config| config.auth = Some(settings(source))).await;
    let sound = with(claims(OWNER, ""), "exp", json!(start_of_test().timestamp() + 36_000));
    let path = format!("/api/v1/users/{OWNER}/bookings");
    let status = async |token: &str| ask(&app, Method::GET, &path, Some(token), None).await.status;
    let old = signed_by(Algorithm::RS256, Some("old"), &rsa, &sound);
    let new = signed_by(Algorithm::EdDSA, Some("new"), &ed, &sound);
    assert_eq!(status(&old).await, 200);

    // Both for a while, as issuers do it, then the new one alone.
    write(set(&[(&rsa, Algorithm::RS256, "old"), (&ed, Algorithm::EdDSA, "new")]));
    app.pass(Duration::from_secs(30)).await;
    assert_eq!(status(&new).await, 200);
    assert_eq!(status(&old).await, 200);
    write(set(&[(&ed, Algorithm::EdDSA, "new")]));
    app.pass(Duration::from_secs(599)).await;
    assert_eq!(status(&old).await, 200);
    app.pass(Duration::from_secs(1)).await;
    assert_eq!(status(&old).await, 401);
    assert_eq!(status(&new).await, 200);
    // Half a file is none: what was read before counts.
    std::fs::write(&file, "{\"keys\": [").expect("written");
    app.pass(Duration::from_secs(600)).await;
    assert_eq!(status(&new).await, 200);
    app.finish().await;
}

#[tokio::test]
async fn a_user_who_asks_from_many_addresses_has_one_limit() {
    let app = TestApp::with(|config| {
        by_secret(config);
        config.rate_limit = Some(RateLimit { per_second: 1, burst: 2 });
    })
    .await;
    let (mine, others) = (signed(&claims(OWNER, "")), signed(&claims(OWNER + 1, "")));
    let get_from = async |host: u8, token: &str| {
        let request = Request::get(format!("/api/v1/users/{OWNER}/bookings"))
            .header("authorization", format!("Bearer {token}"))
            .extension(ConnectInfo(SocketAddr::from(([203, 0, 113, host], 4711))));
        app.send(request.body(Body::empty()).expect("a request")).await
    };
    for host in [1, 2] {
        let answer = get_from(host, &mine).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"client\";q=2;w=2"));
    }
    let refused = get_from(3, &mine).await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"user\";q=2;w=2"));
    assert_eq!(refused.header("ratelimit"), Some("\"user\";r=0;t=2"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    get_from(3, &others).await.assert_problem(403, "forbidden");
    app.finish().await;
}
