//! The answer to a search, serialised once for all its readers.

use crate::domain::{Flight, SeatCount};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// The flights of one route and day at some moment after the search began.
#[derive(Debug)]
pub struct Answer {
    /// The flights as JSON: `{"flights":[…],"count":n}`.
    pub body: Bytes,
    /// The tag of the body, quoted as in the `ETag` header.
    pub etag: String,
    /// The flights, by departure.
    pub flights: Vec<Flight>,
    /// The compressed body, made for the first client that accepts it.
    zipped: OnceLock<Bytes>,
}

/// The JSON of an answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FlightList<'a> {
    /// Flights for sale, by departure unless sorted otherwise.
    #[schema(value_type = Vec<ListedFlight>)]
    pub flights: Vec<&'a Flight>,
    /// Number of flights.
    pub count: usize,
}

/// As [`FlightList`], with the flights that one can only wait for.
#[derive(Debug, Serialize)]
pub struct WholeFlightList<'a> {
    /// Flights, by departure unless sorted otherwise.
    pub flights: Vec<ListedFlight<'a>>,
    /// Number of flights.
    pub count: usize,
}

/// A flight in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListedFlight<'a> {
    #[serde(flatten)]
    #[schema(value_type = Flight, inline)]
    flight: &'a Flight,
    /// True if it has too few seats, so that one can only wait for it; with `include_sold_out` alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    waitlist: bool,
}

impl<'a> WholeFlightList<'a> {
    /// A list of these flights, for a party of so many seats.
    pub fn of(flights: &FlightList<'a>, seats: SeatCount) -> Self {
        let listed =
            |flight: &&'a Flight| ListedFlight { flight, waitlist: flight.free_seats() < seats };
        Self { flights: flights.flights.iter().map(listed).collect(), count: flights.count }
    }
}

impl<'a> FlightList<'a> {
    /// A list of these flights.
    pub fn of(flights: Vec<&'a Flight>) -> Self {
        Self { count: flights.len(), flights }
    }
}

impl Answer {
    /// The body compressed by `zip`, once for all clients.
    pub fn zipped(&self, zip: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.zipped.get_or_init(|| zip(&self.body)).clone()
    }

    pub(super) fn of(flights: Vec<Flight>) -> Self {
        let body = serde_json::to_vec(&FlightList::of(flights.iter().collect()))
            .expect("flights are always JSON");
        Self::with(body.into(), flights)
    }

    /// An answer that another replica serialised; `None` if this version can't read it.
    pub(super) fn read(body: Bytes) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            flights: Vec<Flight>,
        }
        let Body { flights } = serde_json::from_slice(&body).ok()?;
        Some(Self::with(body, flights))
    }

    fn with(body: Bytes, flights: Vec<Flight>) -> Self {
        let digest: [u8; 32] = Sha256::digest(&body).into();
        let (tag, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        let etag = format!("\"{:016x}\"", u64::from_be_bytes(*tag));
        Self { body, etag, flights, zipped: OnceLock::new() }
    }
}
