//! Settings about callers: who they are, how much they may ask for, and where they come from.

mod auth;
mod cors;
mod hosts;
mod limits;
mod network;
mod pages;

pub use auth::{JwtSettings, KeySource};
pub use cors::CorsOrigins;
pub(super) use cors::cors_origins;
pub use hosts::AllowedHosts;
pub use limits::{ClientConnections, RateLimit};
pub use network::Network;
pub(super) use network::networks;
pub(super) use pages::{public_url, return_origins};
