//! Which implementation of TLS' cryptography this process uses.

/// Sees to it that there is one before an HTTP client is made, which would not be made without.
pub fn provide() {
    // Fails where the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
