//! Names of receivers are resolved here, and connections go to what was resolved. So a name that leads to a private
//! network is refused at each connection, whatever it led to before (DNS rebinding).

use crate::domain::is_public;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Resolves a name.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Resolves names to addresses to which connections may go.
pub(super) struct Addresses {
    pub(super) lookup: Lookup,
    /// `WEBHOOK_ALLOW_PRIVATE`.
    pub(super) is_private_allowed: bool,
}

/// The name leads to no public address.
#[derive(Debug, thiserror::Error)]
#[error("its name leads to a private network")]
struct Private;

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let looking = (self.lookup)(name.as_str().to_owned());
        let is_private_allowed = self.is_private_allowed;
        Box::pin(async move {
            let found = looking.await?;
            let allowed = found.into_iter().filter(|ip| is_private_allowed || is_public(*ip));
            // The connector puts the URL's port in place of 0.
            let allowed: Vec<_> = allowed.map(|ip| SocketAddr::new(ip, 0)).collect();
            if allowed.is_empty() {
                return Err(Private.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
