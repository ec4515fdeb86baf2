//! HTTP/1.1 as a load's client speaks it: one keep-alive connection, one request at a time, and
//! nothing between the bytes and the clock.

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the buffer of a connection begins with; a longer answer makes it grow.
const BUFFER: usize = 4 * 1_024;

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER] })
    }

    /// Sends a request and reads its answer whole. After an error the connection is of no use.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let mut read = 0;
        let mut head: Option<Head> = None;
        loop {
            if read == self.buffer.len() {
                self.buffer.resize(2 * read, 0);
            }
            let count = self.stream.read(&mut self.buffer[read..]).await?;
            ensure!(count > 0, "the server hung up");
            read += count;
            if head.is_none() {
                head = Head::of(&self.buffer[..read])?;
            }
            if let Some(Head { status, body, length }) = head
                && read >= body + length
            {
                return Ok(Answer { status, body: &self.buffer[body..body + length] });
            }
        }
    }
}

impl Answer<'_> {
    /// Whether the body holds these words.
    pub fn holds(&self, words: &str) -> bool {
        words.is_empty() || self.body.windows(words.len()).any(|window| window == words.as_bytes())
    }
}

/// What an answer's head says.
#[derive(Clone, Copy)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    length: usize,
}

impl Head {
    /// Nothing while the head is not whole.
    fn of(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&bytes[..end])?;
        let status = text.split(' ').nth(1).context("no status")?.parse()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let length = length.context("no length")?.trim().parse()?;
        Ok(Some(Self { status, body: end + 4, length }))
    }
}

/// `host:port` of a base URL.
pub fn address(base: &str) -> anyhow::Result<String> {
    Ok(base.strip_prefix("http://").context("no address")?.to_owned())
}

/// The body of `GET path`, over a connection of its own.
pub async fn fetch(base: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let mut connection = Connection::open(&address(base)?).await?;
    let answer = connection.ask(&get(path)).await?;
    ensure!(answer.status == 200, "{path} was answered {}", answer.status);
    Ok(answer.body.to_vec())
}

/// `GET path`.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// `POST /api/v1/bookings`: so many seats of a flight for a user, with further header lines.
pub fn book(flight: usize, user: usize, seats: usize, headers: &str) -> Vec<u8> {
    let passenger = r#"{"name":"John Doe","email":"john@example.com","phone":"1234567890","age":30,"gender":"male"}"#;
    let passengers = vec![passenger; seats].join(",");
    let body = format!(
        r#"{{"flight_id":{flight},"user_id":{user},"seats_booked":{seats},"passenger_details":[{passengers}]}}"#
    );
    with_body("POST", "/api/v1/bookings", headers, &body)
}

/// `POST /api/v1/itineraries`: a seat on each of these flights for a user.
pub fn order(flights: &[usize], user: usize) -> Vec<u8> {
    let passenger = r#"{"name":"John Doe","email":"john@example.com","phone":"1234567890","age":30,"gender":"male"}"#;
    let segments: Vec<_> = flights.iter().map(|id| format!(r#"{{"flight_id":{id}}}"#)).collect();
    let body = format!(
        r#"{{"user_id":{user},"segments":[{}],"seats_booked":1,"passenger_details":[{passenger}]}}"#,
        segments.join(",")
    );
    with_body("POST", "/api/v1/itineraries", "", &body)
}

/// A request with a body of JSON, with further header lines.
pub fn with_body(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
