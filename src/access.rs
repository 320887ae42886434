//! Who may do what: callers, their tokens, and the policy. Pure: files are read elsewhere, and the
//! time is an argument.
//!
//! A [`Principal`] is who calls. The [`Policy`] says which [`rpc_actions::Action`] it may take on which
//! stream; what no rule allows is denied.

pub mod current;
pub mod jwt;
pub mod pattern;
pub mod policy;
mod prefix_index;
pub mod principal;
pub mod quota;
pub mod rpc_actions;
pub mod static_tokens;

use crate::model::Timestamp;

use jwt::{Jwts, KeyId};
use policy::Policy;
use principal::{BadName, Principal, PrincipalKind};
use static_tokens::{Shown, TokenDigest, Tokens};

/// The longest token that is looked at, in bytes.
const MOST_BYTES: usize = 8 << 10;

/// What a server asks of its callers, and allows them.
#[derive(Debug)]
pub struct Access {
    accepted: Accepted,
    policy: Policy,
    /// Whether anybody may do anything.
    open: bool,
    /// Who calls where nobody is asked.
    unproved: Principal,
}

/// What callers may show.
#[derive(Debug, Default)]
pub struct Accepted {
    /// `None`: static tokens are not taken.
    pub tokens: Option<Tokens>,
    /// `None`: JWTs are not taken.
    pub jwts: Option<Jwts>,
    /// Whether the connection's certificate says who calls.
    pub certificates: bool,
}

/// Who calls, and until when that is proved; `None`: for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// When the proof expires.
    pub expires: Option<Timestamp>,
    /// What it was proved by.
    pub proof: Proof,
}

/// What proves who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A token, of this digest.
    Token(TokenDigest),
    /// A JWT that this key has signed.
    Jwt(KeyId),
    /// The certificate of the connection.
    Certificate,
    /// The system, which says whose process is at the other end of a Unix socket.
    User,
    /// Nothing was asked for.
    Nothing,
}

/// What a connection proves of its client.
#[derive(Clone, Copy, Debug)]
pub enum ConnectionProof<'a> {
    /// Nothing.
    Nothing,
    /// By a certificate, which says this.
    Certificate(&'a Certificate),
    /// By a Unix socket: it is a process of this user's.
    User(u32),
}

/// What a client's certificate says of it; somebody else has verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The URIs it names.
    pub uris: Vec<String>,
    /// The DNS names it names.
    pub dns_names: Vec<String>,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

/// Why a caller is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// It showed nothing.
    Missing,
    /// What it showed is nobody's, or has no form that is known.
    Invalid,
    /// What it showed has expired.
    Expired,
    /// Nobody can say at the moment: the keys by which it is checked are too old.
    Unverifiable,
}

impl Access {
    /// What is accepted of callers, and what this policy says. Without a policy, nobody is allowed
    /// anything where tokens are asked for, and everybody everything where not. `reachable`: from
    /// other machines.
    pub fn new(accepted: Accepted, policy: Option<Policy>, reachable: bool) -> Self {
        let open = !accepted.bearers() && policy.is_none();
        let policy = policy.unwrap_or_default();
        Self { accepted, policy, open, unproved: Principal::unproved(reachable) }
    }

    /// Whether anybody may do anything.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// When the next token expires for which its caller has no later one.
    pub fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        self.accepted.tokens.as_ref().and_then(|tokens| tokens.next_expiry(now))
    }

    /// What callers may show, for those who showed nothing.
    pub fn accepts(&self) -> &'static str {
        let Accepted { tokens, jwts, certificates } = &self.accepted;
        match (tokens.is_some(), jwts.is_some(), certificates) {
            (true, true, true) => "token,jwt,mtls",
            (true, true, false) => "token,jwt",
            (true, false, true) => "token,mtls",
            (true, false, false) => "token",
            (false, true, true) => "jwt,mtls",
            (false, true, false) => "jwt",
            (false, false, true) => "mtls",
            (false, false, false) => "",
        }
    }

    /// Whether a caller who was identified earlier would be so still, and until when; `None`: for
    /// ever. Whether its certificate is accepted still, its connection knows.
    pub fn standing(
        &self,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, CredentialsError> {
        let Accepted { tokens, jwts, certificates } = &self.accepted;
        let known = match identity.proof {
            Proof::Token(digest) => match tokens.as_ref().map(|tokens| tokens.whose(digest, now)) {
                Some(Shown::Known(principal, expires)) if principal == identity.principal => {
                    return Ok(expires);
                }
                Some(Shown::Expired(_)) => return Err(CredentialsError::Expired),
                Some(Shown::Known(..) | Shown::Unknown) | None => false,
            },
            Proof::Jwt(key) => match jwts {
                Some(jwts) => jwts.believe(key, now).map(|()| true)?,
                None => false,
            },
            Proof::Certificate => *certificates,
            Proof::User => true,
            Proof::Nothing => !self.accepted.anything(),
        };
        match identity.expires {
            _ if !known => Err(CredentialsError::Invalid),
            Some(expires) if expires <= now => Err(CredentialsError::Expired),
            expires => Ok(expires),
        }
    }

    /// Who calls with these `authorization` headers, over this connection. A token beats what the
    /// connection says, and a bad one is refused, whatever that is.
    pub fn identify(
        &self,
        authorization: &[&[u8]],
        connection: ConnectionProof<'_>,
        now: Timestamp,
    ) -> Result<Identity, CredentialsError> {
        let certificate = match connection {
            ConnectionProof::User(uid) if authorization.is_empty() || !self.accepted.anything() => {
                let principal = Principal::user(uid);
                return Ok(Identity { principal, expires: None, proof: Proof::User });
            }
            ConnectionProof::Certificate(certificate) => Some(certificate),
            ConnectionProof::User(_) | ConnectionProof::Nothing => None,
        };
        match (authorization, certificate) {
            _ if !self.accepted.anything() => Ok(Identity {
                principal: self.unproved.clone(),
                expires: None,
                proof: Proof::Nothing,
            }),
            ([], Some(certificate)) if self.accepted.certificates => certificate.identity(now),
            ([], _) => Err(CredentialsError::Missing),
            (shown, _) => self.accepted.by_bearer(shown, now),
        }
    }
}

impl Accepted {
    /// Whether something is asked for.
    fn anything(&self) -> bool {
        self.bearers() || self.certificates
    }

    /// Whether an `authorization` header is taken.
    fn bearers(&self) -> bool {
        self.tokens.is_some() || self.jwts.is_some()
    }

    fn by_bearer(
        &self,
        authorization: &[&[u8]],
        now: Timestamp,
    ) -> Result<Identity, CredentialsError> {
        let shown = match authorization {
            [shown] if shown.len() <= MOST_BYTES => *shown,
            // Two headers could be read in two ways by two readers.
            [] | [_] | [_, ..] => return Err(CredentialsError::Invalid),
        };
        let shown = bearer(shown).ok_or(CredentialsError::Invalid)?;
        match (&self.jwts, &self.tokens) {
            (Some(jwts), _) if Jwts::is_one(shown) => {
                let (principal, expires, key) = jwts.whose(shown, now)?;
                Ok(Identity { principal, expires: Some(expires), proof: Proof::Jwt(key) })
            }
            (_, Some(tokens)) => by_token(tokens, TokenDigest::of(shown), now),
            (_, None) => Err(CredentialsError::Invalid),
        }
    }
}

impl Certificate {
    /// Whose it is: its one URI's, or where it has none its first DNS name's.
    fn identity(&self, now: Timestamp) -> Result<Identity, CredentialsError> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(CredentialsError::Expired);
        }
        let name = match (&self.uris[..], self.dns_names.first()) {
            ([uri], _) => uri,
            ([], Some(name)) => name,
            // With several URIs, whoever reads the certificate chooses who the caller is.
            ([], None) | ([_, _, ..], _) => return Err(CredentialsError::Invalid),
        };
        let principal = Principal::new(PrincipalKind::Mtls, name);
        let principal = principal.map_err(|BadName| CredentialsError::Invalid)?;
        Ok(Identity { principal, expires: self.expires, proof: Proof::Certificate })
    }
}

fn by_token(
    tokens: &Tokens,
    digest: TokenDigest,
    now: Timestamp,
) -> Result<Identity, CredentialsError> {
    match tokens.whose(digest, now) {
        Shown::Known(principal, expires) => {
            Ok(Identity { principal, expires, proof: Proof::Token(digest) })
        }
        Shown::Expired(_) => Err(CredentialsError::Expired),
        Shown::Unknown => Err(CredentialsError::Invalid),
    }
}

/// The line, from 1, of a file's text where the parser stopped.
fn line_of(error: &toml::de::Error, text: &str) -> usize {
    let end = error.span().map_or(0, |span| span.start).min(text.len());
    text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The token of an `authorization` header; the scheme is written in any case.
fn bearer(header: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(header).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(tokens: Option<Tokens>, certificates: bool) -> Accepted {
        Accepted { tokens, certificates, ..Accepted::default() }
    }

    fn access() -> Access {
        let file = static_tokens::entry("ci", "sst_secret").expect("a name");
        Access::new(accepted(Some(Tokens::parse(&file).expect("a file")), true), None, true)
    }

    #[test]
    fn one_bearer_token_says_who_calls() {
        let (access, now) = (access(), Timestamp::new(1_800_000_000, 0).expect("a time"));
        let identify = |headers: &[&[u8]]| {
            access
                .identify(headers, ConnectionProof::Nothing, now)
                .map(|identity| identity.principal.to_string())
        };
        for good in ["Bearer sst_secret", "bearer sst_secret", "BEARER sst_secret"] {
            assert_eq!(identify(&[good.as_bytes()]), Ok("token:ci".into()), "{good}");
        }
        assert_eq!(identify(&[]), Err(CredentialsError::Missing));
        for bad in ["", "Bearer", "Bearer ", "Basic sst_secret", "sst_secret", "Bearer  sst_secret"]
        {
            assert_eq!(identify(&[bad.as_bytes()]), Err(CredentialsError::Invalid), "{bad:?}");
        }
        assert_eq!(identify(&[b"Bearer \xff"]), Err(CredentialsError::Invalid));
        let good: &[u8] = b"Bearer sst_secret";
        assert_eq!(identify(&[good, good]), Err(CredentialsError::Invalid), "two headers");
        let long = [b"Bearer ", "x".repeat(MOST_BYTES).as_bytes()].concat();
        assert_eq!(identify(&[&long]), Err(CredentialsError::Invalid));
    }

    #[test]
    fn a_certificate_with_one_name_says_who_calls() {
        let now = Timestamp::new(1_800_000_000, 0).expect("a time");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let who = |uris: &[&str], dns_names: &[&str], expires: i64| {
            let (uris, dns_names) = (names(uris), names(dns_names));
            let expires = Timestamp::new(expires, 0);
            let certificate = Certificate { uris, dns_names, expires };
            let identity = access().identify(&[], ConnectionProof::Certificate(&certificate), now);
            identity.map(|identity| identity.principal.to_string())
        };
        let later = 1_800_000_001;
        assert_eq!(who(&["spiffe://td/a"], &["a.b"], later), Ok("mtls:spiffe://td/a".into()));
        assert_eq!(who(&[], &["a.b", "c.d"], later), Ok("mtls:a.b".into()));
        assert_eq!(who(&["spiffe://a", "spiffe://b"], &[], later), Err(CredentialsError::Invalid));
        assert_eq!(who(&[], &[], later), Err(CredentialsError::Invalid));
        assert_eq!(who(&["spiffe://td/a b"], &[], later), Err(CredentialsError::Invalid));
        assert_eq!(who(&["spiffe://td/a"], &[], 1_800_000_000), Err(CredentialsError::Expired));
    }

    #[test]
    fn a_token_beats_the_certificate_and_a_bad_one_is_refused() {
        let now = Timestamp::new(1_800_000_000, 0).expect("a time");
        let uris = vec!["spiffe://td/a".to_owned()];
        let certificate = Certificate { uris, dns_names: vec![], expires: None };
        let identify = |access: &Access, header: &[u8]| {
            let identity =
                access.identify(&[header], ConnectionProof::Certificate(&certificate), now);
            identity.map(|identity| identity.principal.to_string())
        };
        assert_eq!(identify(&access(), b"Bearer sst_secret"), Ok("token:ci".into()));
        assert_eq!(identify(&access(), b"Bearer sst_other"), Err(CredentialsError::Invalid));
        let no_tokens = Access::new(accepted(None, true), Some(Policy::default()), true);
        assert_eq!(identify(&no_tokens, b"Bearer sst_secret"), Err(CredentialsError::Invalid));
        let certificates_aside = Access::new(accepted(Some(Tokens::default()), false), None, true);
        let nobody =
            certificates_aside.identify(&[], ConnectionProof::Certificate(&certificate), now);
        assert_eq!(nobody, Err(CredentialsError::Missing));
    }

    #[test]
    fn the_user_behind_a_unix_socket_is_known_without_showing_anything() {
        let now = Timestamp::new(1_800_000_000, 0).expect("a time");
        let by = |access: &Access, headers: &[&[u8]]| {
            let identity = access.identify(headers, ConnectionProof::User(1_000), now);
            identity.map(|identity| identity.principal.to_string())
        };
        assert_eq!(by(&access(), &[]), Ok("uid:1000".into()));
        assert_eq!(by(&access(), &[b"Bearer sst_secret"]), Ok("token:ci".into()));
        assert_eq!(by(&access(), &[b"Bearer sst_other"]), Err(CredentialsError::Invalid));
        let rules_alone = Access::new(Accepted::default(), Some(Policy::default()), false);
        assert_eq!(by(&rules_alone, &[b"Bearer of anything"]), Ok("uid:1000".into()));
    }

    #[test]
    fn a_server_without_tokens_asks_nobody() {
        let now = Timestamp::new(1_800_000_000, 0).expect("a time");
        for (reachable, who) in [(true, "anonymous"), (false, "local")] {
            let access = Access::new(Accepted::default(), None, reachable);
            assert!(access.is_open());
            let identity = access
                .identify(&[b"Bearer of anything"], ConnectionProof::Nothing, now)
                .expect("not asked");
            assert_eq!(identity.principal.to_string(), who);
        }
        assert!(!Access::new(Accepted::default(), Some(Policy::default()), false).is_open());
    }
}
