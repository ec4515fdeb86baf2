//! Tokens and public keys as an issuer makes them, by another implementation than the service's.
//!
//! Nothing here asks for the process' own cryptography, which is the service's and signs nothing.

use airline_booking::config::{JwtSettings, KeySource};
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::Duration;

/// Settings that take tokens signed by a secret, of any length of life.
pub fn signed_by(secret: &str) -> JwtSettings {
    JwtSettings {
        keys: KeySource::Secret(secret.into()),
        issuer: None,
        audience: None,
        leeway: Duration::from_secs(30),
        token_type: None,
        lifetime_max: None,
    }
}

/// Base64 for URLs, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for bytes in bytes.chunks(3) {
        let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - bytes.len()));
        for digit in 0..=bytes.len() {
            encoded.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    encoded
}

/// A signed token.
pub fn token(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    let header_json = serde_json::to_string(header).expect("JSON");
    token_of_texts(&header_json, &claims.to_string(), header.alg, key)
}

/// A token of this header and these claims as they stand, JSON or not, with a sound signature.
pub fn token_of_texts(
    header: &str,
    claims: &str,
    algorithm: Algorithm,
    key: &EncodingKey,
) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, key).expect("a signer");
    let signature = signer.try_sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", base64url(&signature))
}

/// The public half of a key, as a JWK of this name.
pub fn public_key(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Value {
    let (of, private) = (&DEFAULT_PROVIDER.key_utils, key.as_bytes());
    let mut jwk = match algorithm {
        Algorithm::RS256 => {
            let (n, e) = (of.rsa_pub_components_from_private_key)(private).expect("an RSA key");
            json!({"kty": "RSA", "n": base64url(&n), "e": base64url(&e)})
        }
        Algorithm::ES256 => {
            let (_, x, y) =
                (of.ec_pub_components_from_private_key)(private, algorithm).expect("an EC key");
            json!({"kty": "EC", "crv": "P-256", "x": base64url(&x), "y": base64url(&y)})
        }
        Algorithm::EdDSA => {
            let curve = jsonwebtoken::jwk::EllipticCurve::Ed25519;
            let x = (of.ed_pub_components_from_private_key)(private, &curve).expect("an Ed key");
            json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&x)})
        }
        other => panic!("no test has public keys for {other:?}"),
    };
    jwk["alg"] = json!(format!("{algorithm:?}"));
    jwk["kid"] = json!(id);
    jwk
}
