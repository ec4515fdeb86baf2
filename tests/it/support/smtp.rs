//! An SMTP server without TLS that keeps what it gets, and misbehaves on request.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

/// What goes wrong with a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its recipient is refused with this code.
    Recipient(u16),
    /// Its text is refused with this code.
    Text(u16),
    /// The server takes it, and closes the connection without a word.
    CutAfterData,
    /// The server takes it, and says nothing for an hour.
    HangsAfterData,
    /// The server takes it, and says so after this time.
    SlowAfterData(Duration),
}

/// A mail that the server took, whether it said so or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    pub text: String,
}

impl Mail {
    /// A header's value, unfolded.
    pub fn header(&self, name: &str) -> String {
        let (head, _) = self.text.split_once("\r\n\r\n").expect("a head");
        let unfolded = head.replace("\r\n ", " ");
        let mut lines = unfolded.split("\r\n");
        let value = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
        value.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
    }
}

#[derive(Default)]
struct State {
    mails: Mutex<Vec<Mail>>,
    plan: Mutex<VecDeque<Fault>>,
    connections: AtomicUsize,
    is_dead: AtomicBool,
    is_silent: AtomicBool,
}

/// The server. It ends with the test's runtime.
pub struct SmtpPeer {
    pub port: u16,
    state: Arc<State>,
}

impl SmtpPeer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let state = shared.clone();
                // A client that leaves ends its session.
                tokio::spawn(async move { serve(connection, &state).await });
            }
        });
        Self { port, state }
    }

    /// For `SMTP_URL`.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}?tls=off", self.port)
    }

    /// The mails that it took.
    pub fn mails(&self) -> Vec<Mail> {
        self.state.mails.lock().clone()
    }

    /// The next mails meet these faults, one each.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.plan.lock().extend(faults);
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Closes every connection at once, or serves again.
    pub fn set_dead(&self, is_dead: bool) {
        self.state.is_dead.store(is_dead, Ordering::SeqCst);
    }

    /// Accepts connections and says nothing, or serves again.
    pub fn set_silent(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

async fn say(to: &mut OwnedWriteHalf, line: &str) -> std::io::Result<()> {
    to.write_all(format!("{line}\r\n").as_bytes()).await
}

async fn serve(connection: TcpStream, state: &State) -> std::io::Result<()> {
    let (from, mut to) = connection.into_split();
    let mut lines = BufReader::new(from).lines();
    if state.is_dead.load(Ordering::SeqCst) {
        return Ok(());
    }
    if state.is_silent.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
    say(&mut to, "220 peer ESMTP").await?;
    let (mut recipient, mut fault) = (String::new(), None);
    while let Some(line) = lines.next_line().await? {
        if state.is_dead.load(Ordering::SeqCst) {
            return Ok(());
        }
        match line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" => say(&mut to, "250-peer\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                recipient = address.expect("an address").0.to_owned();
                fault = state.plan.lock().pop_front();
                match fault {
                    Some(Fault::Recipient(code)) => {
                        say(&mut to, &format!("{code} <{recipient}> is not wanted")).await?;
                    }
                    _ => say(&mut to, "250 OK").await?,
                }
            }
            "DATA" => {
                say(&mut to, "354 go on").await?;
                let mut text = String::new();
                loop {
                    let Some(line) = lines.next_line().await? else { return Ok(()) };
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push_str("\r\n");
                }
                if let Some(Fault::Text(code)) = fault {
                    say(&mut to, &format!("{code} no")).await?;
                    continue;
                }
                state.mails.lock().push(Mail { to: recipient.clone(), text });
                match fault.take() {
                    Some(Fault::CutAfterData) => return Ok(()),
                    Some(Fault::HangsAfterData) => {
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                    }
                    Some(Fault::SlowAfterData(time)) => tokio::time::sleep(time).await,
                    _ => {}
                }
                say(&mut to, "250 OK").await?;
            }
            "QUIT" => {
                say(&mut to, "221 bye").await?;
                return Ok(());
            }
            _ => say(&mut to, "250 OK").await?,
        }
    }
    Ok(())
}
