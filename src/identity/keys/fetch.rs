//! Fetches a set of public keys from its URL.

use super::document::DOCUMENT_BYTES_MAX;
use anyhow::ensure;
use reqwest::Url;
use reqwest::redirect::Policy;
use std::time::Duration;

/// How long a request to the set's URL may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum redirects that are followed from the set's URL.
const REDIRECTS_MAX: usize = 2;

/// Follows up to [`REDIRECTS_MAX`] redirects, and none from https to http or to another host, where the
/// keys could be someone else's.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from = attempt.previous().last();
        match from {
            Some(from) if leaves_issuer(from, attempt.url()) => {
                attempt.error("a redirect from https to http, or to another host")
            }
            _ if attempt.previous().len() > REDIRECTS_MAX => attempt.error("too many redirects"),
            _ => attempt.follow(),
        }
    })
}

fn leaves_issuer(from: &Url, to: &Url) -> bool {
    from.host() != to.host() || (from.scheme() == "https" && to.scheme() != "https")
}

pub(super) async fn fetch(url: &str) -> anyhow::Result<Vec<u8>> {
    crate::tls::provide();
    let client = reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(redirects()).build()?;
    // The URL may contain a password, so errors are reported without it.
    let answer = client.get(url).send().await.map_err(reqwest::Error::without_url)?;
    let mut answer = answer.error_for_status().map_err(reqwest::Error::without_url)?;
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        document.extend_from_slice(&chunk);
        ensure!(document.len() <= DOCUMENT_BYTES_MAX, "it is longer than 256 KiB");
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leaves_neither_tls_nor_the_issuer() {
        let url = |text: &str| text.parse().expect(text);
        let (plain, secure) = (url("http://id.example/keys"), url("https://id.example/keys"));
        let (other, inner) = (url("https://evil.example/keys"), url("http://169.254.169.254/keys"));
        for (from, to) in [(&secure, &plain), (&secure, &other), (&plain, &inner), (&plain, &other)]
        {
            assert!(leaves_issuer(from, to), "{from} {to}");
        }
        for (from, to) in [(&secure, &secure), (&plain, &secure), (&plain, &plain)] {
            assert!(!leaves_issuer(from, to), "{from} {to}");
        }
    }
}
