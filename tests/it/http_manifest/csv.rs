//! The manifest as CSV, for spreadsheets.

use super::{book, cancel, path};
use crate::support::{Answer, TestApp, booking};
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

const HEAD: &str = "booking_id,itinerary_id,segment,status,passenger,name,email,phone,age,gender,\
                    passenger_status,reference";

async fn ask(app: &TestApp, path: &str, accept: &str) -> Answer {
    let request = Request::get(path).header("accept", accept).body(Body::empty());
    app.send(request.expect("a request")).await
}

async fn csv(app: &TestApp, path: &str) -> Answer {
    let answer = ask(app, path, "text/csv").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/csv; charset=utf-8; header=present"));
    assert!(answer.text.starts_with(&format!("{HEAD}\r\n")), "{}", answer.text);
    answer
}

/// The records below the head, as a reader of RFC 4180 sees them.
fn records(answer: &Answer) -> Vec<Vec<String>> {
    let mut reader = csv_reader(&answer.text);
    let records = reader.records().map(|record| record.expect("RFC 4180"));
    records.map(|record| record.iter().map(str::to_owned).collect()).collect()
}

fn csv_reader(text: &str) -> ::csv::Reader<&[u8]> {
    ::csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes())
}

#[tokio::test]
async fn a_manifest_has_a_line_a_passenger() {
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    let mut earlier = crate::support::flight(50);
    earlier["timestamp"] = json!("2025-01-20T02:00:00Z");
    earlier["arrival_timestamp"] = json!("2025-01-20T04:00:00Z");
    let earlier = app.post("/api/v1/flights", &earlier).await.json["id"].clone();
    let part = book(&app, flight, &["Asha Rao", "Ravi Rao"]).await;
    let mut order = booking(0, 1);
    order.as_object_mut().expect("an object").remove("flight_id");
    order["segments"] = json!([{"flight_id": earlier}, {"flight_id": flight}]);
    let placed = app.post("/api/v1/itineraries", &order).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let [first, second] = [0, 1].map(|at| placed.json["bookings"][at]["booking_id"].clone());
    app.run_until_idle().await;
    cancel(&app, part, &json!({"passengers": [1]})).await;
    let answer = csv(&app, &path(flight)).await;
    let reference = async |id: &Value| {
        let shown = app.get(&format!("/api/v1/bookings/{id}")).await;
        shown.json["reference"].as_str().expect("a reference").to_owned()
    };
    let (alone, both) = (reference(&json!(part)).await, reference(&first).await);
    let person = "asha@example.com,1234567890,30,female";
    let expected = [
        HEAD.to_owned(),
        format!("{part},{part},1,completed,0,Asha Rao,{person},,{alone}"),
        format!("{part},{part},1,completed,1,Ravi Rao,{person},cancelled,{alone}"),
        format!("{second},{first},2,completed,0,Asha Rao,{person},,{both}"),
        String::new(),
    ];
    assert_eq!(answer.text, expected.join("\r\n"));
    assert_eq!(answer.header("link"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
    let none = csv(&app, &format!("{}?status=failed", path(flight))).await;
    assert_eq!(none.text, format!("{HEAD}\r\n"));
    ask(&app, &path(999), "text/csv").await.assert_problem(404, "not_found");
    app.finish().await;
}

#[tokio::test]
async fn what_travellers_typed_is_text_in_a_spreadsheet() {
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    let names = ["=HYPERLINK(\"http://evil.example\")", "+1+1", "-1", "@SUM(A1)", "O'Neil, \"Bo\""];
    let mut body = booking(flight, 5);
    for (place, name) in names.iter().enumerate() {
        body["passenger_details"][place]["name"] = json!(name);
    }
    body["passenger_details"][0]["phone"] = json!("+91 98765");
    body["passenger_details"][1]["email"] = json!("=1+1@example.com");
    body["passenger_details"][2]["gender"] = json!("=f");
    app.post("/api/v1/bookings", &body).await.booking_id();
    app.run_until_idle().await;
    let shown = csv(&app, &path(flight)).await;
    let lines = records(&shown);
    let cells = |column: usize| lines.iter().map(|line| line[column].as_str()).collect::<Vec<_>>();
    let guarded =
        ["'=HYPERLINK(\"http://evil.example\")", "'+1+1", "'-1", "'@SUM(A1)", "O'Neil, \"Bo\""];
    assert_eq!(cells(5), guarded);
    assert_eq!((cells(7)[0], cells(6)[1], cells(9)[2]), ("'+91 98765", "'=1+1@example.com", "'=f"));
    assert!(shown.text.contains(r#","'=HYPERLINK(""http://evil.example"")","#), "{}", shown.text);

    // As an earlier service may have stored them.
    let planted = async |names: &Value| {
        let names = names.as_array().expect("names").iter();
        let passenger = |name: &Value| json!({"name": name, "email": "a@b.example", "phone": "1", "age": 30, "gender": "x"});
        let all: Value = names.map(passenger).collect();
        let sql = format!("UPDATE bookings SET booking_metadata = '{all}'");
        assert_eq!(app.database.plant(&sql).await, 1);
        records(&csv(&app, &path(flight)).await)
    };
    let lines = planted(&json!(["\t=1", "\r\n=2", "a\r\nb", "\"", ",", ""])).await;
    let names: Vec<_> = lines.iter().map(|line| line[5].as_str()).collect();
    assert_eq!(names, ["'\t=1", "'\r\n=2", "a\r\nb", "\"", ",", ""]);
    let lines = planted(&json!([])).await;
    assert_eq!(lines.len(), 1, "a booking without passengers has a line");
    assert_eq!(lines[0][3..11], ["completed", "", "", "", "", "", "", ""]);
    app.abandon();
}

#[tokio::test]
async fn pages_of_lines_are_linked() {
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    let mut booked = Vec::new();
    for _ in 0..5 {
        booked.push(book(&app, flight, &["Asha", "Ravi"]).await.to_string());
        app.book_paid_by(flight, 1, "pm_card_declined").await.booking_id();
    }
    app.run_until_idle().await;
    let mut next = Some(format!("{}?limit=2&status=completed", path(flight)));
    let (mut seen, mut pages) = (Vec::new(), 0);
    while let Some(page) = next {
        let answer = csv(&app, &page).await;
        seen.extend(records(&answer).into_iter().map(|line| line[0].clone()));
        pages += 1;
        let link = answer.header("link").map(|link| {
            let (target, relation) = link.split_once(">; ").expect("a target");
            assert_eq!(relation, "rel=\"next\"");
            target.strip_prefix('<').expect("a target").to_owned()
        });
        next = link;
    }
    assert_eq!(pages, 3);
    let twice: Vec<_> = booked.iter().flat_map(|id| [id, id]).cloned().collect();
    assert_eq!(seen, twice);
    app.finish().await;
}

#[tokio::test]
async fn other_forms_than_csv_are_json() {
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    book(&app, flight, &["Asha"]).await;
    for accept in ["", "*/*", "text/html", "application/json, text/csv", "text/csv;q=0"] {
        let answer = ask(&app, &path(flight), accept).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept}");
        assert_eq!((&answer.json["count"], answer.header("link")), (&json!(1), None));
    }
    let browser = ask(&app, &path(flight), "text/csv, */*;q=0.1").await;
    assert!(browser.text.starts_with(HEAD), "{browser:?}");
    app.finish().await;
}

#[tokio::test]
async fn long_tables_are_gzipped_on_request() {
    use std::io::Read as _;
    let app = TestApp::start().await;
    let flight = app.add_flight(50).await;
    for _ in 0..20 {
        book(&app, flight, &["Asha"]).await;
    }
    app.run_until_idle().await;
    let plain = csv(&app, &path(flight)).await;
    let request = Request::get(path(flight)).header("accept", "text/csv");
    let request = request.header("accept-encoding", "gzip").body(Body::empty());
    let (zipped, head) = app.send_raw(request.expect("a request")).await;
    assert_eq!(head["content-encoding"], "gzip");
    let mut unzipped = String::new();
    flate2::read::GzDecoder::new(&*zipped).read_to_string(&mut unzipped).expect("gzip");
    assert_eq!(unzipped, plain.text);
    app.finish().await;
}
