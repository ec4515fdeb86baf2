//! Connections to Redis, a single server or a Cluster: how one is opened, and how commands are sent on it.

use super::{RedisFailure, Reply};
use crate::config::{RedisSettings, Secret};
use futures::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult,
    TlsCertificates, Value,
};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Time limit of connecting. Callers never wait that long.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum commands that wait to be written to a connection.
const WAITING_MAX: usize = 1_024;

/// First line of a certificate in PEM.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where Redis is.
pub(super) enum Target {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// A connection. Cheap to clone: clones share it.
#[derive(Clone)]
pub(super) enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target {
    /// The server or the Cluster that the settings name. Does not connect.
    pub(super) fn of(settings: &RedisSettings) -> RedisResult<Self> {
        let urls = settings.urls.iter().map(Secret::expose);
        let authorities = settings.authorities.as_deref().map(certificates).transpose()?;
        if !settings.is_cluster {
            let first = urls.into_iter().next().unwrap_or_default();
            let client = match authorities {
                Some(authorities) => Client::build_with_tls(first, authorities)?,
                None => Client::open(first)?,
            };
            return Ok(Self::Single(Box::new(client)));
        }
        let client = ClusterClient::builder(urls)
            .connection_timeout(CONNECT_TIMEOUT / 2)
            .response_timeout(CONNECT_TIMEOUT / 2)
            .retries(2)
            .min_retry_wait(5)
            .max_retry_wait(20);
        let client = match authorities {
            Some(authorities) => client.certs(authorities),
            None => client,
        };
        Ok(Self::Cluster(Box::new(client.build()?)))
    }

    /// Connects.
    pub(super) async fn connect(&self) -> RedisResult<Link> {
        match self {
            Self::Single(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(None)
                    .set_pipeline_buffer_size(WAITING_MAX);
                let connected = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Link::Single(connected.await?))
            }
            Self::Cluster(client) => Ok(Link::Cluster(client.get_async_connection().await?)),
        }
    }
}

/// The certificate authorities of a PEM file, trusted instead of the system's.
fn certificates(file: &Path) -> RedisResult<TlsCertificates> {
    let failed = |why: String| RedisError::from((ErrorKind::InvalidClientConfig, "REDIS_CA", why));
    let pem =
        std::fs::read(file).map_err(|error| failed(format!("{}: {error}", file.display())))?;
    let begins = pem.windows(PEM.len()).any(|text| text == PEM);
    if !begins {
        return Err(failed(format!("{} has no certificate in PEM", file.display())));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
}

impl Link {
    /// Sends commands at once; replies in their order, [`RedisFailure::Late`] after `deadline`.
    pub(super) async fn send(&mut self, wires: &[Cmd], deadline: Instant) -> Vec<Reply> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = Pipeline::with_capacity(wires.len());
                for wire in wires {
                    pipeline.add_command(wire.clone());
                }
                let sent = connection.req_packed_commands(&pipeline, 0, wires.len());
                match timeout_at(deadline, sent).await {
                    Ok(Ok(values)) => values.into_iter().map(checked).collect(),
                    Ok(Err(error)) => wires.iter().map(|_| Err(error.clone().into())).collect(),
                    Err(_) => wires.iter().map(|_| Err(RedisFailure::Late)).collect(),
                }
            }
            Self::Cluster(connection) => {
                let one = |wire| {
                    let mut connection = connection.clone();
                    async move {
                        let sent = connection.req_packed_command(wire);
                        match timeout_at(deadline, sent).await {
                            Ok(answer) => checked(answer?),
                            Err(_) => Err(RedisFailure::Late),
                        }
                    }
                };
                join_all(wires.iter().map(one)).await
            }
        }
    }

    /// Sends one command, without a time limit.
    pub(super) async fn send_one(&mut self, wire: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(wire).await,
            Self::Cluster(connection) => connection.req_packed_command(wire).await,
        }?
        .extract_error()
    }
}

/// Turns an error inside a reply into an error.
fn checked(value: Value) -> Reply {
    Ok(value.extract_error()?)
}
