//! Flights: search, import, numbers.

use super::{Fixture, new_flight};
use airline_booking::domain::{
    DayKey, FlightStatus, Invalidation, NewFlight, ScheduleZone, route_key,
};
use airline_booking::store::{Lane, Numbered, OTHERS_MAX};

on_each_store! {
    a_search_returns_the_flights_on_sale_of_its_day
    a_repeated_import_creates_nothing
    flights_are_found_by_their_numbers
}

async fn a_search_returns_the_flights_on_sale_of_its_day(on: Fixture) {
    let zone = ScheduleZone("Asia/Kolkata".parse().expect("a zone"));
    let date = "2025-01-15".parse().expect("a date");
    let (from, until) = zone.bounds(date);
    let second = chrono::TimeDelta::seconds(1);
    let currency = "INR".parse().expect("a currency");
    let flights = [
        new_flight(3, from - second),
        new_flight(3, until - second),
        new_flight(3, from),
        new_flight(3, until),
        NewFlight { available_seats: 0, ..new_flight(3, from) },
        NewFlight { flight_status: FlightStatus::Departed, ..new_flight(3, from + second) },
        NewFlight { flight_status: FlightStatus::Delayed, ..new_flight(3, from + second * 2) },
        NewFlight { source: "DELHI ".into(), ..new_flight(3, from + second * 3) },
        NewFlight { destination: "Chennai".into(), ..new_flight(3, from + second * 4) },
    ];
    for flight in flights {
        let day = DayKey { route: route_key(&flight.source, &flight.destination), date };
        on.store.create_flight(flight, &day, currency, on.now).await.expect("a flight");
    }
    let found = on.store.search(&route_key("delhi", "MUMBAI"), from, until).await.expect("found");
    let departures: Vec<_> = found.iter().map(|flight| flight.departs_at).collect();
    assert_eq!(departures, [from, from + second * 2, from + second * 3, until - second]);
    // Of every route, and sold-out ones too.
    let on_sale = on.store.on_sale(from, until).await.expect("found");
    let ids: Vec<_> = on_sale.iter().map(|flight| flight.id.0).collect();
    assert_eq!(ids, [3, 5, 7, 8, 9, 2]);
}

async fn a_repeated_import_creates_nothing(on: Fixture) {
    let currency = "INR".parse().expect("a currency");
    let mut flights: Vec<_> = (0..25_000)
        .map(|number| {
            let departs_at = on.now + chrono::TimeDelta::minutes(number / 2);
            let flight_number = (number % 2 == 0).then(|| format!("AI{number}").into());
            NewFlight { flight_number, ..new_flight(180, departs_at) }
        })
        .collect();
    // The same line twice in one file.
    flights.push(flights[0].clone());
    let import = async |flights: &[NewFlight]| {
        on.store.import_flights(flights, currency, on.now).await.expect("an import")
    };
    assert!(on.store.is_empty().await.expect("an answer"));
    assert_eq!(import(&flights).await, 25_000);
    assert_eq!(import(&flights).await, 0);
    for lane in Lane::ALL {
        assert_eq!(on.outbox(lane).await, []);
    }
    let ended = on.store.invalidations(9).await.expect("ends of answers");
    assert_eq!(ended.into_iter().map(|(_, ended)| ended).collect::<Vec<_>>(), [Invalidation::All]);
    assert_eq!(on.violations().await, 0);
}

async fn flights_are_found_by_their_numbers(on: Fixture) {
    let numbers = ["AB1", "AB2"].map(str::to_owned);
    let numbered = async || on.store.numbered(&numbers).await.expect("an answer");
    assert_eq!(numbered().await, Numbered { others: 0, newest: None });
    let import = async |names: &[Option<&str>], minutes: i64| {
        let at = on.now + chrono::TimeDelta::minutes(minutes);
        let flight = |(nth, name): (usize, Option<&str>)| {
            let departs_at = on.now + chrono::TimeDelta::days(1 + nth as i64);
            NewFlight { flight_number: name.map(Into::into), ..new_flight(9, departs_at) }
        };
        let flights: Vec<_> = names.iter().copied().enumerate().map(flight).collect();
        on.store
            .import_flights(&flights, "INR".parse().expect("a currency"), at)
            .await
            .expect("in");
        at
    };
    import(&[Some("AB2"), None], 0).await;
    let newest = Some(import(&[Some("AB1")], 1).await);
    import(&[Some("AB10"), Some("ab1")], 2).await;
    assert_eq!(numbered().await, Numbered { others: 3, newest });
    import(&[None; 120], 3).await;
    assert_eq!(numbered().await, Numbered { others: OTHERS_MAX, newest: None });
}
