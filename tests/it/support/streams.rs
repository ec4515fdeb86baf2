//! Server-sent events, read one by one.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use serde_json::Value;
use std::pin::Pin;
use std::time::Duration;

/// Longer than any event takes, also on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    pub kind: String,
    pub id: String,
    pub data: Value,
}

/// A stream that is read.
pub struct EventStream {
    pieces: Pin<Box<dyn Stream<Item = Option<Bytes>> + Send>>,
    text: String,
    /// The last id, of comments too.
    pub last_id: String,
}

impl EventStream {
    /// The stream of an answer of the router.
    pub fn of(response: axum::response::Response) -> Self {
        assert_eq!(response.status(), 200, "{response:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self::reading(response.into_body().into_data_stream().map(Result::ok))
    }

    /// The stream of an answer of a server.
    pub fn received(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200, "{response:?}");
        let pieces = futures::stream::unfold(response, async |mut response| {
            let piece = response.chunk().await.ok().flatten()?;
            Some((Some(piece), response))
        });
        Self::reading(pieces)
    }

    fn reading(pieces: impl Stream<Item = Option<Bytes>> + Send + 'static) -> Self {
        Self { pieces: Box::pin(pieces), text: String::new(), last_id: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        let next = tokio::time::timeout(WAIT_MAX, self.look()).await;
        next.expect("an event, or the end")
    }

    async fn look(&mut self) -> Option<StreamEvent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = self.read(&block) {
                    return Some(event);
                }
            }
            let piece = self.pieces.next().await??;
            self.text.push_str(std::str::from_utf8(&piece).expect("UTF-8"));
        }
    }

    /// The next event of a stream that goes on.
    pub async fn expect(&mut self) -> StreamEvent {
        self.next().await.expect("the stream goes on")
    }

    fn read(&mut self, block: &str) -> Option<StreamEvent> {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        self.last_id = field("id");
        let (kind, data) = (field("event"), field("data"));
        let event = || StreamEvent {
            kind: kind.clone(),
            id: self.last_id.clone(),
            data: serde_json::from_str(&data).expect("JSON"),
        };
        (!kind.is_empty()).then(event)
    }
}
