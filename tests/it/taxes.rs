//! Taxes: the part of a price that a refund always returns.

use crate::support::process::run_with;
use crate::support::{TestApp, TestDatabase, flight};
use serde_json::{Value, json};

fn taxed(price: &str, taxes: Value) -> Value {
    let mut body = flight(9);
    body["price"] = json!(price);
    body["taxes"] = taxes;
    body
}

#[tokio::test]
async fn taxes_are_a_part_of_the_price_in_its_minor_unit() {
    let app = TestApp::start().await;
    for (id, (taxes, shown)) in
        [(json!("2500.01"), 2500.01), (json!(0), 0.0), (json!(0.01), 0.01), (Value::Null, 0.0)]
            .into_iter()
            .enumerate()
    {
        let made = app.post("/api/v1/flights", &taxed("2500.01", taxes)).await;
        assert_eq!((made.status.as_u16(), &made.json["taxes"]), (201, &json!(shown)), "{made:?}");
        assert_eq!(app.flight(id as i64 + 1).await["taxes"], shown);
    }
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    assert_eq!(app.get(search).await.json["flights"][0]["taxes"], 2500.01);
    for taxes in
        [json!("2500.02"), json!(-0.01), json!("0.001"), json!("0.010"), json!("x"), json!([])]
    {
        let refused = app.post("/api/v1/flights", &taxed("2500.01", taxes)).await;
        refused.assert_problem(422, "validation_failed");
        assert_eq!(refused.pointers(), ["/taxes"], "{refused:?}");
    }
    let both = app.post("/api/v1/flights", &taxed("-1", json!(5))).await;
    assert_eq!(both.pointers(), ["/price"], "a wrong price bounds no taxes");
    app.finish().await;
}

#[tokio::test]
async fn a_change_keeps_taxes_within_the_price() {
    let app = TestApp::start().await;
    app.post("/api/v1/flights", &taxed("2500", json!(300))).await;
    let put = async |change: Value| app.put("/api/v1/flights/1", &change).await;
    let refused = async |change: Value| {
        let answer = put(change).await;
        answer.assert_problem(422, "validation_failed");
        assert_eq!(answer.pointers(), ["/taxes"], "{answer:?}");
    };
    refused(json!({"price": 299.99})).await;
    refused(json!({"taxes": 2500.01})).await;
    refused(json!({"taxes": null})).await;
    refused(json!({"taxes": "1.000"})).await;
    let changed = put(json!({"price": 250, "taxes": "250.00"})).await;
    assert_eq!(changed.json["flight"]["taxes"], 250.0, "{changed:?}");
    let kept = put(json!({"price": 260})).await;
    assert_eq!(
        (&kept.json["flight"]["taxes"], &kept.json["flight"]["version"]),
        (&json!(250.0), &json!(3))
    );
    // What was read can be sent back whole.
    let same = put(app.flight(1).await).await;
    assert_eq!((same.status.as_u16(), &same.json["flight"]["version"]), (200, &json!(3)));
    app.finish().await;
}

#[tokio::test]
async fn a_key_that_an_earlier_release_took_still_names_its_request() {
    let app = TestApp::start().await;
    let key = [("idempotency-key", "schedule-1")];
    let post = async |body: &Value| {
        app.send_json_with(http::Method::POST, "/api/v1/flights", body, &key).await
    };
    assert_eq!(post(&flight(9)).await.status, 201);
    assert_eq!(post(&taxed("2500", json!(0))).await.json["id"], 1, "no taxes are taxes of zero");
    post(&taxed("2500", json!(1))).await.assert_problem(422, "idempotency_key_reused");
    app.finish().await;
}

#[tokio::test]
async fn taxes_are_imported_and_updated() {
    let database = TestDatabase::create().await;
    let directory = tempfile::tempdir().expect("a directory");
    let url = database.url();
    let import = async |update: bool, head: &str, lines: &[&str]| {
        let text =
            format!("source,destination,timestamp,total_seats,price{head}\n{}\n", lines.join("\n"));
        std::fs::write(directory.path().join("flights.csv"), text).expect("a file");
        let arguments = if update {
            &["import", "--update", "flights.csv"][..]
        } else {
            &["import", "flights.csv"]
        };
        run_with(directory.path(), &[("DATABASE_URL", url.as_str())], arguments).await
    };
    let with = |rest: &str| format!("Delhi,Mumbai,2030-01-20T10:00:00Z,180,2500{rest}");
    let (code, printed) = import(false, ",Taxes", &[&with(",2500.01")]).await;
    assert!(code == 1 && printed.contains("line 2: taxes must be 0.00 to 2500.00"), "{printed}");
    let (_, printed) = import(false, ",Taxes", &[&with(",1"), &with(",2")]).await;
    assert!(
        printed.contains("different seats, price, taxes, fare rules, status or arrival"),
        "{printed}"
    );
    let (code, printed) = import(false, ",Taxes", &[&with(",300.5")]).await;
    assert!(code == 0 && printed.contains("1 imported"), "{printed}");
    for (head, line, told) in [
        (",taxes", with(",300.50"), "1 unchanged"),
        (",taxes", with(","), "1 unchanged"),
        ("", with(""), "1 unchanged"),
        (",taxes", with(",301"), "1 updated"),
        (",taxes", with(",0"), "1 updated"),
    ] {
        let (code, printed) = import(true, head, &[&line]).await;
        assert!(code == 0 && printed.contains(told), "{line}: {printed}");
    }
}
