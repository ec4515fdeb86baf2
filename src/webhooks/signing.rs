//! Signatures of Standard Webhooks (specification 1.0, "Signature scheme", symmetric).

use crate::domain::SigningSecret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `webhook-signature`: one signature by each secret, HMAC-SHA256 over `ID.SECONDS.BODY`.
pub(super) fn signatures<'a>(
    secrets: impl Iterator<Item = &'a SigningSecret>,
    id: &str,
    seconds: i64,
    body: &str,
) -> String {
    let signature = |secret: &SigningSecret| {
        let key = secret.key()?;
        let mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        let mac = mac.chain_update(format!("{id}.{seconds}.")).chain_update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.filter_map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_has_its_signature() {
        // The example of the specification's libraries: https://github.com/standard-webhooks/standard-webhooks.
        let secret = SigningSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("sound");
        let signed = signatures(
            std::iter::once(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let secrets = [SigningSecret::of(&[1; 32]), SigningSecret::of(&[2; 32])];
        let signed = signatures(secrets.iter(), "a", 1, "{}");
        let alone = |secret| signatures(std::iter::once(secret), "a", 1, "{}");
        assert_eq!(signed, format!("{} {}", alone(&secrets[0]), alone(&secrets[1])));
    }
}
