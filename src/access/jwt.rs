//! JSON Web Tokens: who shows one, and whether to believe it.
//!
//! The signature is checked by a library; what the claims say is checked here, with the time as an
//! argument, and more strictly: what is missing is refused, not passed over.

mod keys;
mod verified;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jsonwebtoken::{Validation, decode, decode_header};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::model::Timestamp;

use super::CredentialsError;
use super::principal::{Principal, PrincipalKind};
use super::static_tokens::TokenDigest;

pub use keys::{JwksError, KeyId, KeySet};
use verified::{Verified, VerifiedTokens};

/// By how much clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// What a server expects of a JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who issues them: `iss`.
    pub issuer: String,
    /// Whom they are for: `aud`.
    pub audience: String,
    /// The claim that names the caller.
    pub name_claim: String,
}

/// How JWTs are believed.
#[derive(Debug)]
pub struct Jwts {
    expected: Expected,
    keys: KeySet,
    freshness: KeysFreshness,
    verified: Mutex<VerifiedTokens>,
}

/// How old the keys are, and whether others are wanted: shared by those who check and those who
/// fetch. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub struct KeysFreshness {
    /// Until when the keys are believed, in seconds since 1970.
    until: Arc<AtomicI64>,
    /// A token named a key that is not known.
    wanted: Arc<AtomicBool>,
}

/// The claims that are looked at.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: serde_json::Number,
    nbf: Option<serde_json::Number>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for KeysFreshness {
    /// Keys that are believed for ever, as those of a file.
    fn default() -> Self {
        Self { until: Arc::new(AtomicI64::new(i64::MAX)), wanted: Arc::default() }
    }
}

impl KeysFreshness {
    /// The keys are believed until then.
    pub fn believe_until(&self, until: Timestamp) {
        self.until.store(until.seconds(), Ordering::Release);
    }

    /// Whether a token named a key that is not known, since this was last asked.
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }

    fn hold(&self, now: Timestamp) -> bool {
        now.seconds() < self.until.load(Ordering::Acquire)
    }
}

impl Jwts {
    /// Those that one of these keys has signed and that say what is expected.
    pub fn new(expected: Expected, keys: KeySet, freshness: KeysFreshness) -> Self {
        Self { expected, keys, freshness, verified: Mutex::default() }
    }

    /// Whether a text has the form of one. Static tokens have no dots.
    pub(super) fn is_one(token: &str) -> bool {
        token.split('.').count() == 3
    }

    /// Whose it is, until when, and by which key.
    pub(super) fn whose(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(Principal, Timestamp, KeyId), CredentialsError> {
        if !self.freshness.hold(now) {
            return Err(CredentialsError::Unverifiable);
        }
        let digest = TokenDigest::of(token);
        let known = self.verified.lock().get(digest);
        let verified = match known {
            Some(verified) => verified,
            None => self.verify(token, now)?,
        };
        if verified.expires <= now {
            return Err(CredentialsError::Expired);
        }
        let Verified { who, expires, key } = verified.clone();
        self.verified.lock().keep(digest, verified);
        Ok((who, expires, key))
    }

    /// Whether a token that this key has signed is believed still.
    pub(super) fn believe(&self, key: KeyId, now: Timestamp) -> Result<(), CredentialsError> {
        match (self.freshness.hold(now), self.keys.have(key)) {
            (false, _) => Err(CredentialsError::Unverifiable),
            (true, false) => Err(CredentialsError::Invalid),
            (true, true) => Ok(()),
        }
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, CredentialsError> {
        let header = decode_header(token).map_err(|_| CredentialsError::Invalid)?;
        // What it says has to be understood is not, whatever it is.
        if header.crit.is_some() {
            return Err(CredentialsError::Invalid);
        }
        let mut named = self.keys.named(header.kid.as_deref()).peekable();
        if header.kid.is_some() && named.peek().is_none() {
            self.freshness.wanted.store(true, Ordering::Release);
        }
        for key in named.filter(|key| key.algorithms.contains(&header.alg)) {
            let mut signature = Validation::new(header.alg);
            signature.required_spec_claims.clear();
            (signature.validate_exp, signature.validate_aud) = (false, false);
            if let Ok(token) = decode::<Claims>(token, &key.key, &signature) {
                let (who, expires) = self.believed(&token.claims, now)?;
                return Ok(Verified { who, expires, key: key.id });
            }
        }
        Err(CredentialsError::Invalid)
    }

    /// Whom these claims name, and until when.
    fn believed(
        &self,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<(Principal, Timestamp), CredentialsError> {
        let Expected { issuer, audience, name_claim } = &self.expected;
        let is_for_us = match &claims.aud {
            Audience::One(aud) => aud == audience,
            Audience::Many(auds) => auds.contains(audience),
        };
        let name = match name_claim.as_str() {
            "sub" => Some(claims.sub.as_str()),
            other => claims.others.get(other).and_then(serde_json::Value::as_str),
        };
        let name = name.filter(|name| !name.is_empty()).ok_or(CredentialsError::Invalid)?;
        let ends = time(&claims.exp).ok_or(CredentialsError::Invalid)?;
        let begins = claims.nbf.as_ref().map(|nbf| time(nbf).ok_or(CredentialsError::Invalid));
        let has_begun = begins.transpose()?.is_none_or(|begins| begins <= later(now, LEEWAY));
        if claims.iss != *issuer || claims.sub.is_empty() || !is_for_us || !has_begun {
            return Err(CredentialsError::Invalid);
        }
        let who = Principal::new(PrincipalKind::Jwt, &format!("{issuer}#{name}"));
        let who = who.map_err(|_| CredentialsError::Invalid)?;
        Ok((who, later(ends, LEEWAY)))
    }
}

/// The moment of a NumericDate; `None` if it is none that we know.
fn time(number: &serde_json::Number) -> Option<Timestamp> {
    let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))?;
    Timestamp::new(seconds, 0)
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp::new(time.seconds() + by.as_secs() as i64, 0).unwrap_or(time)
}

#[cfg(test)]
mod tests;
