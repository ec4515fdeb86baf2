//! The files that the page loads, and the hash of all of them.

use crate::http::wire::gzip::Text;
use axum::response::Response;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file of the page.
pub(super) struct File {
    /// Its path below the version.
    pub(super) path: &'static str,
    /// Whether it is a module of the first view.
    pub(super) is_first: bool,
    source: &'static str,
    text: Text,
}

/// Files by their paths: modules of the first view, then the others.
macro_rules! files {
    ($($first:literal)* ; $($other:literal)*) => {
        [$(file!($first, true),)* $(file!($other, false),)*]
    };
}

macro_rules! file {
    ($path:literal, $is_first:literal) => {
        File {
            path: $path,
            is_first: $is_first,
            source: include_str!($path),
            text: Text::of(include_str!($path)),
        }
    };
}

/// Every file of the page.
pub(super) static FILES: [File; 21] = files![
    "main.js" "parts/api.js" "parts/dom.js" "parts/format.js" "parts/token.js" "views/calendar.js" "views/results.js"
    "views/search.js";
    "icon.svg" "style.css" "parts/chart.js" "parts/live.js" "parts/party.js" "parts/pay.js" "views/book.js"
    "views/cancel.js" "views/find.js" "views/staff.js" "views/timeline.js" "views/trip.js" "views/wait.js"
];

/// The hash of all files, part of their paths.
pub(super) static VERSION: LazyLock<String> =
    LazyLock::new(|| version_of(FILES.iter().flat_map(|file| [file.path, file.source])));

/// 64 bits of a hash of these texts, in hexadecimal digits.
pub(super) fn version_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let first = digest.first_chunk().expect("a hash has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

impl File {
    /// The file, compressed if the client accepts that.
    pub(super) fn serve(&self, headers: &HeaderMap) -> Response {
        let media_type = match self.path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        self.text.serve(headers, media_type)
    }
}
