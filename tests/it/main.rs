//! What the service promises, one module a promise. One binary, so that it links once.

/// The contracts meet no planted bug.
macro_rules! planted {
    ($bug:ident) => {
        std::hint::black_box(false)
    };
}

#[allow(dead_code, reason = "the library's tests use the rest")]
#[allow(unused_imports, reason = "as above")]
#[path = "../fuzzing/mod.rs"]
mod fuzzing;
#[expect(dead_code, reason = "the contracts use no faults; the simulation does")]
#[expect(unused_imports, reason = "as above")]
#[path = "../simulation/ports/mod.rs"]
mod simulated;
mod support;

mod adoption;
mod asyncapi;
mod audit;
mod audit_lines;
mod booking_numbers;
mod callers_who_leave;
mod changes;
mod chaos;
mod closing;
mod command_line;
mod crash;
mod database_roles;
mod deleted_topics;
mod disrupted;
mod drift;
mod earlier_release;
mod event_log;
mod event_streams;
mod everything_goes_wrong;
mod fares;
mod faults;
mod flight_numbers;
mod flight_versions;
mod foreign_messages;
mod forged_tokens;
mod fuzz;
mod garbage;
mod gateway_calls;
mod gateway_circuit;
mod home;
mod http_bookings;
mod http_browsers;
mod http_edges;
mod http_flight_list;
mod http_flights;
mod http_framing;
mod http_host;
mod http_limits;
mod http_manifest;
mod http_once;
mod http_places;
mod http_round_trips;
mod http_strict;
mod identity;
mod import_files;
mod import_updates;
mod interop;
mod itineraries;
#[cfg(feature = "kafka-tls")]
mod kafka_tls;
mod keys_of_cancellations;
mod killed_erasures;
mod listeners;
mod local_services;
mod locked_rows;
mod logs;
mod lost_locks;
mod many_connections;
mod mending;
mod metrics;
mod metrics_port;
mod money;
mod notify;
mod orders_http;
mod orders_under_kills;
mod outages;
mod page;
mod panics;
mod paying;
mod pending;
mod personal_data;
mod places;
mod ports_bus;
mod ports_cache;
mod ports_gateway;
mod ports_lock;
mod ports_store;
mod postgres_costs;
mod postgres_faults;
mod redis_faults;
mod references;
mod refund_calls;
mod replicas;
mod retention;
mod roles;
mod rules;
mod sales;
mod samples;
mod schema_locks;
mod secure_start;
mod sell_out;
mod settings;
mod settling;
mod shared_limits;
mod signed_messages;
mod slow_clients;
mod sole_server;
mod states;
mod stopping;
mod storage_faults;
mod stripe_faults;
mod stripe_mock;
mod stripe_service;
mod stripe_under_kills;
mod sweeping;
mod taxes;
mod tls;
mod told;
mod tour;
mod traces;
mod traces_lost;
mod unreadable_rows;
mod waitlist;
mod waitlist_under_kills;
mod webhooks;
mod workers;
