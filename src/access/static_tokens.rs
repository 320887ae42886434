//! Static tokens: what callers show, and the digests by which they are known.
//!
//! A token is 256 random bits, so its plain SHA-256 cannot be guessed back. Tokens are looked up by
//! digest, so the time that takes tells nothing about how much of a token was right.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::model::Timestamp;

use super::line_of;
use super::principal::{BadName, Principal, PrincipalKind};

/// What every token begins with, so that scanners for secrets find one that got about.
pub const PREFIX: &str = "sst_";

/// The most tokens of one file.
const MOST_TOKENS: usize = 10_000;

/// Why a token file was refused. Its texts never contain what stands in the file, but for names.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It is not TOML, or has keys that no token has.
    #[error(
        "line {line}: not a list of [[token]], each with name, sha256 and, if it ends, expires"
    )]
    Syntax {
        /// The line, from 1.
        line: usize,
    },
    /// It has more tokens than any that is meant.
    #[error("it has more than {MOST_TOKENS} tokens")]
    Many,
    /// A name that no caller can have.
    #[error("token {0}: {BadName}")]
    Name(usize),
    /// Not a digest.
    #[error("token {0:?}: sha256 is 64 hex digits, as `shardstream token new` prints them")]
    Digest(String),
    /// Two tokens that are the same.
    #[error("token {0:?} has the digest of another")]
    Twice(String),
    /// Not a time that everybody understands the same.
    #[error(
        "token {0:?}: expires is a date, or a time with its zone, such as 2027-01-01T00:00:00Z"
    )]
    Expires(String),
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

/// Who shows which token.
#[derive(Debug, Default)]
pub struct Tokens {
    by_digest: HashMap<TokenDigest, KnownToken>,
}

#[derive(Debug)]
struct KnownToken {
    who: Principal,
    expires: Option<Timestamp>,
}

/// What is known of a token that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is this principal's, until then; `None`: for ever.
    Known(Principal, Option<Timestamp>),
    /// It was a principal's.
    Expired(Principal),
    /// It is nobody's.
    Unknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    #[serde(default, rename = "token")]
    tokens: Vec<TokenText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenText {
    name: String,
    sha256: String,
    expires: Option<toml::value::Datetime>,
}

impl Tokens {
    /// The tokens that the text of a file says.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        // The parser's own words repeat values, and a value may be a token.
        let file: TokensFile = toml::from_str(text)
            .map_err(|error| TokensError::Syntax { line: line_of(&error, text) })?;
        if file.tokens.len() > MOST_TOKENS {
            return Err(TokensError::Many);
        }
        let mut tokens = Self::default();
        for (at, token) in file.tokens.into_iter().enumerate() {
            let who = Principal::new(PrincipalKind::Token, &token.name)
                .map_err(|BadName| TokensError::Name(at + 1))?;
            let digest = digest_of_hex(&token.sha256)
                .ok_or_else(|| TokensError::Digest(token.name.clone()))?;
            let expires = match token.expires {
                Some(when) => {
                    Some(moment(&when).ok_or_else(|| TokensError::Expires(token.name.clone()))?)
                }
                None => None,
            };
            if tokens.by_digest.insert(digest, KnownToken { who, expires }).is_some() {
                return Err(TokensError::Twice(token.name));
            }
        }
        Ok(tokens)
    }

    /// When the next of these tokens expires for which its caller has no later one.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let mut last: HashMap<&Principal, Option<Timestamp>> = HashMap::new();
        for KnownToken { who, expires } in self.by_digest.values() {
            let known = last.entry(who).or_insert(*expires);
            // `None`: for ever.
            *known = known.zip(*expires).map(|(one, other)| one.max(other));
        }
        last.into_values().flatten().filter(|expires| *expires > now).min()
    }

    /// Whose token this is.
    pub fn whose(&self, token: TokenDigest, now: Timestamp) -> Shown {
        match self.by_digest.get(&token) {
            None => Shown::Unknown,
            Some(known) if known.expires.is_some_and(|expires| expires <= now) => {
                Shown::Expired(known.who.clone())
            }
            Some(known) => Shown::Known(known.who.clone(), known.expires),
        }
    }
}

/// A new token, from 256 random bits.
pub fn token(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// What a token file says of the token.
pub fn entry(name: &str, token: &str) -> Result<String, BadName> {
    Principal::new(PrincipalKind::Token, name)?;
    let name = toml::Value::from(name);
    let hex: String = TokenDigest::of(token).0.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("[[token]]\nname = {name}\nsha256 = \"{hex}\"\n"))
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl TokenDigest {
    /// The digest of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

fn digest_of_hex(text: &str) -> Option<TokenDigest> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n * 16 + d)).collect();
    (text.len() == 64).then(|| bytes.try_into().ok().map(TokenDigest)).flatten()
}

/// The moment of a time with its zone, or the beginning of a day in UTC.
fn moment(when: &toml::value::Datetime) -> Option<Timestamp> {
    let text = match (when.time, when.offset) {
        (None, None) => format!("{when}T00:00:00Z"),
        (Some(_), Some(_)) => when.to_string(),
        _ => return None,
    };
    let time: jiff::Timestamp = text.parse().ok()?;
    Timestamp::new(time.as_second(), u32::try_from(time.subsec_nanosecond()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().expect("a time");
        Timestamp::new(time.as_second(), 0).expect("in range")
    }

    #[test]
    fn a_new_token_is_known_by_its_entry() {
        let secret = token([7; 32]);
        assert!(secret.starts_with(PREFIX) && secret.len() == 47, "{secret}");
        let file = entry("ci", &secret).expect("a name");
        assert!(!file.contains(&secret) && !file.contains(&secret[4..]));
        let tokens = Tokens::parse(&file).expect("what we wrote");
        let now = at("2026-11-27T00:00:00Z");
        let ci = Principal::new(PrincipalKind::Token, "ci").expect("a name");
        assert_eq!(tokens.whose(TokenDigest::of(&secret), now), Shown::Known(ci, None));
        for other in ["", "sst_", &secret[1..], &format!("{secret} "), &token([8; 32])] {
            assert_eq!(tokens.whose(TokenDigest::of(other), now), Shown::Unknown, "{other}");
        }
    }

    #[test]
    fn a_token_expires_at_its_time() {
        let entry = entry("ci", "t").expect("a name");
        let whose = |expires: &str, now: &str| {
            let tokens = Tokens::parse(&format!("{entry}expires = {expires}\n"));
            tokens.expect("a file").whose(TokenDigest::of("t"), at(now))
        };
        let ends = "2027-01-01T00:00:00Z";
        assert!(matches!(whose("2027-01-01", "2026-12-31T23:59:59Z"), Shown::Known(_, Some(_))));
        assert!(matches!(whose("2027-01-01", ends), Shown::Expired(_)));
        assert!(matches!(whose("2027-01-01T02:00:00+02:00", ends), Shown::Expired(_)));
        let local = Tokens::parse(&format!("{entry}expires = 2027-01-01T00:00:00\n"));
        assert!(matches!(local, Err(TokensError::Expires(_))), "whose midnight?");
    }

    #[test]
    fn a_bad_file_is_refused_without_its_content() {
        let digest = "ab".repeat(32);
        let good = format!("[[token]]\nname = \"a\"\nsha256 = \"{digest}\"\n");
        assert!(Tokens::parse(&good).is_ok() && Tokens::parse("").is_ok());
        for bad in [
            good.replace("sha256", "sha"),
            good.replace("\"\n", "\n"),
            good.replace("ab\"", "a\""),
            format!("token = \"{digest}\"\n"),
            format!("token = [\"{digest}\"]\n"),
            format!("{good}expires = \"{digest}\"\n"),
            good.replace("ab\"", "ag\""),
            good.replace("\"a\"", "\"a b\""),
            good.repeat(2),
        ] {
            let error = Tokens::parse(&bad).expect_err(&bad).to_string();
            assert!(!error.contains("abab"), "{error}");
        }
        let error = Tokens::parse(&good.replace("sha256", "sha")).expect_err("a key").to_string();
        assert!(error.starts_with("line 3: ") || error.starts_with("line 1: "), "{error}");
    }
}
