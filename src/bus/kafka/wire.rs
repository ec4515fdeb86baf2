//! Conversion between messages and Kafka's records. Other teams' records may hold anything.

use crate::messages::{Headers, Message, Origin, Original, SIGNATURE, Signatures};
use futures::{FutureExt as _, Stream, StreamExt as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Replaces a value that is not text. It is not JSON, so the message is not applied.
const NOT_TEXT: char = char::REPLACEMENT_CHARACTER;

/// Maximum size of a message that is kept whole, in bytes of key, value and headers. Leaves room for a dead
/// letter's headers below the broker's default limit of 1,048,588. Larger ones become dead letters as stubs.
const WHOLE_MAX: usize = 1_000_000;

/// Maximum headers that are read. This service writes up to eight.
const HEADERS_MAX: usize = 64;

/// Maximum bytes of messages received at once: bounds memory where messages are large.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Maximum bytes of a key. A longer key, or one that is not text, is cut to this length.
const KEY_MAX: usize = 1_024;

/// A first message and those that have arrived behind it, up to `max` and [`BATCH_BYTES_MAX`]. `read` gives each
/// with its size.
pub(super) fn gather<'m>(
    first: &BorrowedMessage<'_>,
    stream: &mut (impl Stream<Item = KafkaResult<BorrowedMessage<'m>>> + Unpin),
    max: usize,
    mut read: impl FnMut(&BorrowedMessage<'_>) -> (Message, usize),
) -> Vec<Message> {
    let (first, mut bytes) = read(first);
    let mut messages = vec![first];
    while messages.len() < max && bytes < BATCH_BYTES_MAX {
        let Some(Some(Ok(next))) = stream.next().now_or_never() else { break };
        let (next, size) = read(&next);
        bytes += size;
        messages.push(next);
    }
    messages
}

/// Headers as Kafka takes them, with the signature if there is one.
pub(super) fn headers_of(message: &Message, signature: Option<&str>) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(message.headers.iter().len() + 1);
    let headers = message.headers.iter().fold(headers, |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(value) })
    });
    match signature {
        Some(value) => headers.insert(Header { key: SIGNATURE, value: Some(value) }),
        None => headers,
    }
}

/// A header's name and value.
type Pair<'a> = (&'a str, Option<&'a [u8]>);

/// A record as a message of text, and its size in bytes of key, value and headers. A record that is too large,
/// has no value, or whose key or value is not text gives a message that does not parse: it becomes a dead letter
/// with its origin, and the record is kept in it.
pub(super) fn message_of(
    foreign: &BorrowedMessage<'_>,
    signatures: Option<&Signatures>,
) -> (Message, usize) {
    let (key, payload, mut headers) = (foreign.key(), foreign.payload(), headers_in(foreign));
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let of_headers: usize = headers.iter().map(|(name, value)| name.len() + length(*value)).sum();
    let size = length(key) + length(payload) + of_headers;
    let is_small = size <= WHOLE_MAX;
    if !is_small {
        headers.clear();
    }
    let mut is_exact = is_small && key.is_some();
    let texts = headers.iter().map(|(name, value)| {
        is_exact &= value.is_some();
        let text = String::from_utf8_lossy(value.unwrap_or_default());
        is_exact &= matches!(text, Cow::Borrowed(_));
        (*name, text)
    });
    let texts: Headers = texts.collect();
    let read_key = str::from_utf8(key.unwrap_or_default()).ok().filter(|key| key.len() <= KEY_MAX);
    let read = payload.filter(|_| is_small && read_key.is_some());
    let read = read.and_then(|payload| str::from_utf8(payload).ok());
    is_exact &= read.is_some();
    let original = (!is_exact).then(|| {
        let kept = is_small.then(|| whole(key, payload, &headers));
        Arc::new(kept.unwrap_or_else(|| Original::stub(key, payload)))
    });
    let fault = match (is_small, payload, read) {
        (false, ..) => Some("larger than 1000000 bytes"),
        (true, None, _) => Some("without a value"),
        (true, Some(_), None) => Some("not UTF-8, or its key is too long"),
        (true, Some(_), Some(_)) => None,
    };
    let mut message = Message {
        key: read_key.map_or_else(|| lossy(key.unwrap_or_default()), str::to_owned),
        payload: read.map_or_else(|| NOT_TEXT.to_string(), str::to_owned),
        headers: texts,
        origin: None,
    };
    let forged = || signatures.and_then(|known| known.fault(foreign.topic(), &message));
    let fault = fault.or_else(forged);
    let (partition, offset) = (foreign.partition(), foreign.offset());
    message.origin = Some(Origin { partition, offset, original, fault });
    (message, size)
}

fn whole(key: Option<&[u8]>, payload: Option<&[u8]>, headers: &[Pair<'_>]) -> Original {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), owned(*value)));
    Original { key: owned(key), payload: owned(payload), headers: headers.collect(), digest: None }
}

fn lossy(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[..key.len().min(KEY_MAX)]).into_owned()
}

fn headers_in<'a>(foreign: &'a BorrowedMessage<'_>) -> Vec<Pair<'a>> {
    let Some(headers) = foreign.headers() else { return Vec::new() };
    // rdkafka panics at a name that is not UTF-8, before it has changed anything.
    let header = |index| catch_unwind(AssertUnwindSafe(|| headers.get(index))).ok();
    let read = (0..headers.count().min(HEADERS_MAX)).map_while(header);
    read.map(|header| (header.key, header.value)).collect()
}
