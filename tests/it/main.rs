//! What the service promises, a module a promise. One binary, so that it links once.

mod support;

mod adoption;
mod asyncapi;
mod audit;
mod command_line;
mod crash;
mod drift;
mod faults;
mod http_bookings;
mod http_edges;
mod http_flights;
mod http_limits;
mod identity;
mod interop;
mod logs;
mod metrics;
mod outages;
mod ports_bus;
mod ports_cache;
mod ports_lock;
mod ports_store;
mod redis_faults;
mod replicas;
mod rules;
mod sell_out;
mod settling;
mod slow_clients;
mod states;
mod traces;
mod traces_lost;
mod workers;
