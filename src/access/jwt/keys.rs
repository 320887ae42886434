//! The keys by which JWTs are checked: a JSON Web Key Set. Only public keys, and each only for the
//! algorithms of its kind, whatever a token says.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The most keys of one set.
const MOST_KEYS: usize = 100;

/// Why a key set was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// It is no key set.
    #[error("not a JSON Web Key Set: an object with a list `keys`")]
    Syntax,
    /// It has more keys than any that is meant.
    #[error("it has more than {MOST_KEYS} keys")]
    Many,
    /// None of its keys can be used.
    #[error(
        "it has no key that can be used: public keys for signatures, of ES256, ES384, RS256, PS256 \
         or EdDSA"
    )]
    Empty,
}

/// Which key it is, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 32]);

/// The keys.
#[derive(Debug, Default)]
pub struct KeySet {
    pub(super) keys: Vec<PublicKey>,
}

/// One key.
#[derive(Debug)]
pub(super) struct PublicKey {
    name: Option<String>,
    pub(super) id: KeyId,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct KeySetText {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// The keys that the text of a set says. Others than can be used are left out: issuers put keys
    /// of all kinds into one set.
    pub fn parse(text: &str) -> Result<Self, JwksError> {
        let set: KeySetText = serde_json::from_str(text).map_err(|_| JwksError::Syntax)?;
        if set.keys.len() > MOST_KEYS {
            return Err(JwksError::Many);
        }
        let keys: Vec<_> = set.keys.into_iter().filter_map(PublicKey::of).collect();
        if keys.is_empty() { Err(JwksError::Empty) } else { Ok(Self { keys }) }
    }

    /// The keys that a token may mean by this name. Without a name there has to be one key only.
    pub(super) fn named<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> impl Iterator<Item = &'a PublicKey> {
        let only = self.keys.len() == 1;
        self.keys.iter().filter(move |key| match (key.name.as_deref(), name) {
            (Some(own), Some(name)) => own == name,
            (None, _) | (_, None) => only,
        })
    }

    /// Whether this key is among them.
    pub(super) fn have(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }
}

impl PublicKey {
    fn of(text: serde_json::Value) -> Option<Self> {
        let key: Jwk = serde_json::from_value(text).ok()?;
        let thumbprint = key.thumbprint(ThumbprintHash::SHA256).ok()?;
        let id = KeyId(Sha256::digest(thumbprint.as_bytes()).into());
        let may_sign =
            key.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature)
                && key
                    .common
                    .key_operations
                    .as_ref()
                    .is_none_or(|of| of.contains(&KeyOperations::Verify));
        let of_its_kind = match &key.algorithm {
            AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::PS256],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            // A symmetric key, whoever knows it may sign with it.
            _ => return None,
        };
        let own = key.common.key_algorithm.as_ref().map(ToString::to_string);
        let is_own = |of: &Algorithm| own.as_ref().is_none_or(|own| *own == format!("{of:?}"));
        let algorithms: Vec<_> = of_its_kind.into_iter().filter(is_own).collect();
        let decoding = DecodingKey::from_jwk(&key).ok()?;
        (may_sign && !algorithms.is_empty()).then_some(Self {
            name: key.common.key_id,
            id,
            algorithms,
            key: decoding,
        })
    }
}
