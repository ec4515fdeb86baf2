//! What every request passes before its route: limits, hosts, browsers' rules, permits, and the record of it.

pub(crate) mod allowed_hosts;
pub(crate) mod client;
pub(crate) mod cors;
mod framing;
pub(crate) mod gate;
pub(crate) mod middleware;
pub(crate) mod rate_limit;
pub(crate) mod refusals;
pub(crate) mod span;
