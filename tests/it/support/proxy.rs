//! A TCP proxy that a test can silence, stall, slow down or cut.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A forwarder of TCP connections; when dropped it cuts them all.
pub struct Proxy {
    pub address: SocketAddr,
    /// How often connections were lost.
    lost: watch::Sender<u64>,
    is_silent: watch::Sender<bool>,
    is_cut: watch::Sender<bool>,
    delay: watch::Sender<Duration>,
    to: watch::Sender<String>,
    forwarding: JoinHandle<()>,
}

impl Proxy {
    /// Forwards from an address (port 0: any) to another.
    pub async fn start(from: &str, to: &str) -> Self {
        let listener = TcpListener::bind(from).await.expect("a free address");
        let address = listener.local_addr().expect("an address");
        let (lost, watched) = watch::channel(0);
        let (is_silent, silent) = watch::channel(false);
        let (is_cut, cut) = watch::channel(false);
        let (delay, delayed) = watch::channel(Duration::ZERO);
        let state = State { lost: watched, silent, cut, delay: delayed };
        let (to, target) = watch::channel(to.to_owned());
        let forwarding = tokio::spawn(async move {
            // Dropped with the proxy, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let to = target.borrow().clone();
                connections.spawn(forward(near, to, state.clone()));
            }
        });
        Self { address, lost, is_silent, is_cut, delay, to, forwarding }
    }

    /// Existing connections go silent: their clients receive nothing more, and the
    /// server has noticed that they are lost. New ones are forwarded.
    pub fn lose_connections(&self) {
        self.lost.send_modify(|times| *times += 1);
    }

    /// Nothing passes from now on, in either direction; new connections are accepted and wait.
    pub fn fall_silent(&self) {
        self.is_silent.send_replace(true);
    }

    /// Closes all connections, and new ones as soon as they are made.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }

    /// Forwards connections that are made from now on to another address.
    pub fn lead_to(&self, address: &str) {
        self.to.send_replace(address.to_owned());
    }

    /// How long each piece of up to 16 KiB is held back, in both directions.
    pub fn delay(&self, by: Duration) {
        self.delay.send_replace(by);
    }

    /// Delivers what was held back, and forwards again.
    pub fn speak_again(&self) {
        self.is_silent.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

/// What its owner has done to it.
#[derive(Clone)]
struct State {
    lost: watch::Receiver<u64>,
    silent: watch::Receiver<bool>,
    cut: watch::Receiver<bool>,
    delay: watch::Receiver<Duration>,
}

async fn forward(near: TcpStream, to: String, state: State) {
    let mut cut = state.cut.clone();
    tokio::select! {
        _ = cut.wait_for(|cut| *cut) => {}
        () = forward_uncut(near, to, state) => {}
    }
}

async fn forward_uncut(mut near: TcpStream, to: String, mut state: State) {
    state.lost.mark_unchanged();
    if state.silent.wait_for(|silent| !silent).await.is_err() {
        return;
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let is_lost = {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        let forth = pump(from_near, to_far, state.clone());
        let back = pump(from_far, to_near, state.clone());
        tokio::select! {
            _ = futures::future::join(forth, back) => false,
            _ = state.lost.changed() => true,
        }
    };
    drop(far);
    if is_lost {
        std::future::pending::<()>().await;
    }
}

/// Passes on what comes, and the end of it; holds it back while there is silence.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut state: State) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let delay = *state.delay.borrow();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if state.silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}
