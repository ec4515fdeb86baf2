//! Tokens as attackers write them: valid signatures over odd JSON, odd signatures over valid JSON, and a valid
//! token in odd headers. Each is refused, none causes an error.

use crate::support::jwt::{signed_by, token_of_texts};
use crate::support::{Answer, TestApp, start_of_test};
use airline_booking::config::JwtSettings;
use axum::body::Body;
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey};
use std::time::Duration;

const SECRET: &str = "a secret of thirty-two bytes, or more";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

async fn app() -> TestApp {
    TestApp::with(|config| {
        config.auth =
            Some(JwtSettings { lifetime_max: Some(Duration::from_hours(24)), ..signed_by(SECRET) });
    })
    .await
}

/// Asks for the bookings of user 123 with these headers.
async fn ask(app: &TestApp, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get("/api/v1/users/123/bookings");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).expect("a request")).await
}

fn signed(header: &str, claims: &str) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    token_of_texts(header, claims, Algorithm::HS256, &key)
}

fn claims_of(subject: &str) -> String {
    format!(r#"{{"sub":{subject},"exp":{}}}"#, start_of_test().timestamp() + 300)
}

fn sound() -> String {
    signed(HEADER, &claims_of(r#""123""#))
}

async fn assert_refused(app: &TestApp, token: &str) {
    let answer = ask(app, &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(answer.status, 401, "{token}: {answer:?}");
    answer.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_header_with_an_unknown_algorithm_or_crit_is_refused() {
    let app = app().await;
    for header in [
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":5}"#,
        r#"{"alg":{}}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"HS256","typ":5}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":"exp"}"#,
        r#"{"alg":"HS256""#,
        "[]",
        "",
    ] {
        assert_refused(&app, &signed(header, &claims_of(r#""123""#))).await;
    }
    let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(2_000), "]".repeat(2_000));
    assert_refused(&app, &signed(&deep, &claims_of(r#""123""#))).await;
    app.finish().await;
}

#[tokio::test]
async fn a_token_needs_a_numeric_exp_and_one_decimal_sub() {
    let app = app().await;
    for expiry in
        ["NaN", "Infinity", "-Infinity", "1e400", "null", "true", "-1", "0", "[9e9]", "{}"]
    {
        assert_refused(&app, &signed(HEADER, &format!(r#"{{"sub":"123","exp":{expiry}}}"#))).await;
    }
    let long = format!("\"{}\"", "9".repeat(400));
    for subject in [
        r#""0""#,
        r#""""#,
        r#""123 ""#,
        r#""123.0""#,
        r#""1e2""#,
        r#""0x7b""#,
        r#""１２３""#,
        r#""123\u0000""#,
        r#""9223372036854775808""#,
        &long,
        "true",
        "null",
        "[123]",
        "{}",
        r#""9","sub":"123""#,
    ] {
        assert_refused(&app, &signed(HEADER, &claims_of(subject))).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_token_with_a_non_canonical_signature_is_refused() {
    let app = app().await;
    let good = sound();
    assert_eq!(ask(&app, &[("authorization", &format!("Bearer {good}"))]).await.status, 200);
    let (unsigned, signature) = good.rsplit_once('.').expect("three parts");
    let (head, claims) = unsigned.split_once('.').expect("two parts");
    // The last digit has two bits to spare, which a lax decoder drops.
    let last = signature.chars().last().expect("a digit");
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = digits.find(last).expect("a digit");
    let other = &digits[place ^ 1..=place ^ 1];
    let others_claims = signed(HEADER, &claims_of(r#""124""#));
    let others_signature = others_claims.rsplit_once('.').expect("three parts").1;
    for token in [
        unsigned.to_owned(),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{unsigned}.{}", &signature[..signature.len() - 4]),
        format!("{unsigned}.{}{other}", &signature[..signature.len() - 1]),
        format!("{unsigned}.{others_signature}"),
        format!("{claims}.{head}.{signature}"),
        format!("{head}..{signature}"),
        format!(".{claims}.{signature}"),
    ] {
        assert_refused(&app, &token).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_token_is_accepted_only_in_one_authorization_header() {
    let app = app().await;
    let good = sound();
    let bearer = format!("Bearer {good}");
    for headers in [
        &[("authorization", &*bearer), ("authorization", &*bearer)][..],
        &[("authorization", &format!("{bearer}, {bearer}"))],
        &[("authorization", &format!("Token {good}"))],
        &[("authorization", &format!("Bearer\t{good}"))],
        &[("authorization", &good)],
        &[("cookie", &format!("access_token={good}"))],
        &[("x-access-token", &good)],
        &[("x-user-id", "123")],
    ] {
        assert_eq!(ask(&app, headers).await.status, 401, "{headers:?}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {good}");
        assert_eq!(ask(&app, &[("authorization", &header)]).await.status, 200, "{scheme}");
    }
    app.finish().await;
}
