//! The cryptography of TLS in this process: ring.

/// Installs ring as the provider. Must run before an HTTP client is built, which fails without a provider.
pub fn provide() {
    // Fails if a provider is installed already, which will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
