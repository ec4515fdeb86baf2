//! What stands on the wire: JSON, queries, headers and problems, read and written.

pub(crate) mod auth;
pub(crate) mod gzip;
pub(crate) mod header_list;
pub(crate) mod json;
pub(crate) mod prefer;
pub(crate) mod problem;
pub(crate) mod problems;
pub(crate) mod query;
pub(crate) mod request_key;
