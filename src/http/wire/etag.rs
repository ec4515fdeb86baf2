//! Conditional reads: `If-None-Match` (RFC 9110, 13.1.2).

use super::header_list;
use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// Whether the client has this version already: `If-None-Match` lists its tag, strong or weak, or is `*`.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    header_list::items(headers, &IF_NONE_MATCH)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
