//! The document of a set of public keys (RFC 7517).

use anyhow::{Context, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Maximum number of a set's keys that are used. The others are ignored.
const KEYS_MAX: usize = 64;

/// Maximum length of a set's document, in bytes.
pub(super) const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Length of an RSA modulus in base64: 2,048 bits (RFC 7518, 3.3) to 8,192, which bounds the time to check
/// a signature.
const MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1_366;

/// A key, and the only algorithm that it is used with.
pub(in crate::identity) struct Key {
    pub(super) id: Option<String>,
    pub(in crate::identity) algorithm: Algorithm,
    pub(in crate::identity) key: DecodingKey,
}

/// The usable keys of a set; an error if there are none.
pub(super) fn keys_of(document: &[u8]) -> anyhow::Result<Vec<Arc<Key>>> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    ensure!(document.len() <= DOCUMENT_BYTES_MAX, "it is longer than 256 KiB");
    let Document { keys } = serde_json::from_slice(document).context("it is not a JWK set")?;
    // Keys of unknown types must be ignored (RFC 7517, 5).
    let keys = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = keys.filter_map(|jwk| usable(&jwk)).take(KEYS_MAX).map(Arc::new).collect();
    ensure!(!keys.is_empty(), "it has no usable key for RS256, ES256 or EdDSA");
    Ok(keys)
}

/// The key with the algorithm of its type; `None` if it is not for signatures of that algorithm.
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if MODULUS_CHARS.contains(&key.n.len()) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        // A set of public keys must not contain secrets.
        _ => return None,
    };
    let common = &jwk.common;
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let named = common.key_algorithm.map(|named| named.to_string());
    let is_for_this = named.is_none_or(|named| named == format!("{algorithm:?}"));
    if !is_for_signatures || !is_for_this {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: common.key_id.clone(), algorithm, key })
}
