//! Between messages and what Kafka carries, which may be anything where others write too.

use super::super::{Headers, Message, Origin};
use rdkafka::message::{
    BorrowedHeaders, BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders,
};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// In front of text that was not UTF-8, so that it can't pass for JSON.
const NOT_UTF_8: char = char::REPLACEMENT_CHARACTER;

/// Headers as Kafka takes them.
pub(super) fn headers_of(message: &Message) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(message.headers.0.len());
    message.headers.0.iter().fold(headers, |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(value) })
    })
}

/// Any message whatever, as text. One whose key or payload is not text, or has no payload at all,
/// does not parse, so that it is put aside with its origin.
pub(super) fn message_of(foreign: &BorrowedMessage<'_>) -> Message {
    let key = String::from_utf8_lossy(foreign.key().unwrap_or_default());
    let payload = String::from_utf8_lossy(foreign.payload().unwrap_or_default());
    let is_text = matches!((&key, &payload), (Cow::Borrowed(_), Cow::Borrowed(_)));
    let payload = if is_text { payload.into_owned() } else { format!("{NOT_UTF_8}{payload}") };
    Message {
        key: key.into_owned(),
        payload,
        headers: Headers(foreign.headers().map(texts).unwrap_or_default()),
        origin: Some(Origin { partition: foreign.partition(), offset: foreign.offset() }),
    }
}

fn texts(headers: &BorrowedHeaders) -> Vec<(String, String)> {
    (0..headers.count()).map(|index| text(headers, index)).collect()
}

fn text(headers: &BorrowedHeaders, index: usize) -> (String, String) {
    // rdkafka panics at a name that is not UTF-8; it has done nothing but look by then.
    let header = catch_unwind(AssertUnwindSafe(|| headers.get(index)));
    header.map_or_else(
        |_| (NOT_UTF_8.to_string(), String::new()),
        |header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            (header.key.to_owned(), value.into_owned())
        },
    )
}
