//! Tokens: signed ones with any header and any claims, and any bytes in place of one.

use super::Subject;
use crate::fuzzing::{JSON, TEXT, Target, halves};
use crate::support::jwt::{signed_by, token_of_texts};
use crate::support::{Answer, start_of_test};
use airline_booking::config::JwtSettings;
use axum::body::Body;
use http::{HeaderValue, Request};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

const SECRET: &str = "a secret of thirty-two bytes, or more";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What an accepted token has; other members are skipped, however deep.
#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: Value,
    exp: f64,
}

fn start() -> Option<Subject> {
    Subject::start(|config| {
        config.auth =
            Some(JwtSettings { lifetime_max: Some(Duration::from_hours(24)), ..signed_by(SECRET) });
    })
}

fn claims() -> String {
    let now = start_of_test().timestamp();
    let claims = json!({"sub": "123", "exp": now + 300, "iat": now, "nbf": now, "scope": "a b"});
    claims.to_string()
}

fn signed(header: &str, claims: &str) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    token_of_texts(header, claims, Algorithm::HS256, &key)
}

/// Asks for user 123's bookings; `None` if the value is no header's.
fn ask(subject: &Subject, value: &[u8]) -> Option<Answer> {
    let value = HeaderValue::from_bytes(value).ok()?;
    let request = Request::get("/api/v1/users/123/bookings").header("authorization", value);
    let request = request.body(Body::empty()).expect("a request");
    let answer = subject.runtime.block_on(subject.app.send(request));
    match answer.status.as_u16() {
        200 => {}
        403 => answer.assert_problem(403, "forbidden"),
        404 => answer.assert_problem(404, "not_found"),
        _ => answer.assert_problem(401, "unauthenticated"),
    }
    Some(answer)
}

#[test]
fn a_signed_token_of_any_json_is_accepted_only_with_its_subject_and_end() {
    let Some(subject) = start() else { return };
    let seeds = vec![
        format!("{HEADER}\n\n{}", claims()).into_bytes(),
        format!("{{\"alg\":\"none\"}}\n\n{}", claims()).into_bytes(),
    ];
    Target { name: "tokens", seeds, mutations: JSON }.run(|input| {
        let (header, claims) = halves(input);
        let (header, claims) = (String::from_utf8_lossy(header), String::from_utf8_lossy(claims));
        let token = signed(&header, &claims);
        let Some(answer) = ask(&subject, format!("Bearer {token}").as_bytes()) else { return };
        if answer.status == 200 {
            let header: Header = serde_json::from_str(&header).expect("a header");
            let claims: Claims = serde_json::from_str(&claims).expect("claims");
            assert_eq!(header.alg, "HS256");
            assert!(claims.sub == "123" || claims.sub == 123, "{}", claims.sub);
            assert!(claims.exp > start_of_test().timestamp() as f64 - 30.0, "{}", claims.exp);
        }
    });
    assert_still_works(subject);
}

#[test]
fn an_authorization_header_of_any_bytes_is_no_token_unless_it_is_the_sound_one() {
    let Some(subject) = start() else { return };
    let sound = format!("Bearer {}", signed(HEADER, &claims()));
    let unsigned = sound.rsplit_once('.').expect("three parts").0;
    let seeds = [sound.as_str(), unsigned, "Bearer ..", "Basic YTpi"];
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let trimmed = |input: &[u8]| {
        let text = String::from_utf8_lossy(input).into_owned();
        text.split_once(' ').map(|(scheme, rest)| (scheme.to_lowercase(), rest.trim().to_owned()))
    };
    let expected = trimmed(sound.as_bytes());
    Target { name: "authorization", seeds, mutations: TEXT }.run(|input| {
        let Some(answer) = ask(&subject, input) else { return };
        assert!(answer.status != 200 || trimmed(input.trim_ascii()) == expected, "{answer:?}");
    });
    assert_still_works(subject);
}

fn assert_still_works(subject: Subject) {
    let sound = format!("Bearer {}", signed(HEADER, &claims()));
    assert_eq!(ask(&subject, sound.as_bytes()).expect("a header").status, 200);
    subject.runtime.block_on(subject.app.finish());
}
