//! `health`: asks the service on this machine whether it is ready. Container health checks use it.

use super::say;
use crate::config::Config;
use anyhow::Context;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Time limit of the whole request.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Prints the answer; the exit code is 1 unless the service is ready.
pub(super) async fn health(config: &Config) -> anyhow::Result<ExitCode> {
    let address = reachable(SocketAddr::new(config.server_host, config.server_port));
    let asking = tokio::time::timeout(ANSWER_WITHIN, ask(address));
    let answer = asking.await.context("no answer within 3 s").and_then(|answer| answer);
    let answer = answer
        .with_context(|| format!("nothing answers on {address} (SERVER_HOST, SERVER_PORT)"))?;
    let is_ready = answer.split(' ').nth(1) == Some("200");
    say(answer.lines().last().unwrap_or_default())?;
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The address for clients on this machine: 0.0.0.0 and :: become loopback addresses.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
