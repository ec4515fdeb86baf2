//! What the service promises, a module a promise. One binary, so that it links once.

mod support;

mod adoption;
mod asyncapi;
mod audit;
mod command_line;
mod crash;
mod faults;
mod http_bookings;
mod http_browsers;
mod http_edges;
mod http_flights;
mod http_limits;
mod http_places;
mod identity;
mod interop;
mod logs;
mod outages;
mod ports_bus;
mod ports_cache;
mod ports_lock;
mod ports_store;
mod postgres_faults;
mod redis_faults;
mod replicas;
mod roles;
mod rules;
mod sell_out;
mod settings;
mod settling;
mod slow_clients;
mod states;
mod stopping;
mod tls;
mod traces;
