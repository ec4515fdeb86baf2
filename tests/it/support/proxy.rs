//! The way to a server, which a test may lose: connections that lead nowhere, or are cut.

use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A forwarder of TCP connections; when dropped it cuts them all.
pub struct Proxy {
    pub address: SocketAddr,
    /// How often connections were lost.
    lost: watch::Sender<u64>,
    forwarding: JoinHandle<()>,
}

impl Proxy {
    /// Forwards from an address (port 0: any) to another.
    pub async fn start(from: &str, to: &str) -> Self {
        let listener = TcpListener::bind(from).await.expect("a free address");
        let address = listener.local_addr().expect("an address");
        let (lost, watched) = watch::channel(0);
        let to = to.to_owned();
        let forwarding = tokio::spawn(async move {
            // Dropped with the proxy, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(forward(near, to.clone(), watched.clone()));
            }
        });
        Self { address, lost, forwarding }
    }

    /// The connections that there are lead nowhere: whoever made them hears nothing more, and the
    /// server has noticed that they are lost. New ones are forwarded.
    pub fn lose_connections(&self) {
        self.lost.send_modify(|times| *times += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward(mut near: TcpStream, to: String, mut lost: watch::Receiver<u64>) {
    lost.mark_unchanged();
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let is_lost = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => false,
        _ = lost.changed() => true,
    };
    drop(far);
    if is_lost {
        std::future::pending::<()>().await;
    }
}
