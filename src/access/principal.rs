//! A principal: who calls, and how that was proved.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
const MOST: usize = 256;

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A client certificate; the name is its URI or DNS name.
    Mtls,
    /// A token from the token file; the name is the token's.
    Token,
    /// A JSON Web Token; the name is its issuer's and the caller's there.
    Jwt,
    /// The user whose process is at the other end of a Unix socket; the name is the user's number.
    Uid,
    /// Nothing, on a server that asks for nothing and that only this machine can reach.
    Local,
    /// Nothing, on a server that asks for nothing and that others can reach.
    Anonymous,
}

/// Who calls. Two principals are the same if kind and name are, byte by byte. A cheap clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    kind: PrincipalKind,
    name: Arc<str>,
}

/// Why a name is none: it is empty, longer than 256 bytes, or has characters other than printable
/// ASCII without blanks, which could look like another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a caller's name is 1 to 256 printable ASCII characters without blanks")]
pub struct BadName;

impl PrincipalKind {
    /// As it is written before the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mtls => "mtls",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Uid => "uid",
            Self::Local => "local",
            Self::Anonymous => "anonymous",
        }
    }
}

impl Principal {
    /// The principal of this kind and name.
    pub fn new(kind: PrincipalKind, name: &str) -> Result<Self, BadName> {
        let fits = (1..=MOST).contains(&name.len());
        if !fits || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadName);
        }
        Ok(Self { kind, name: name.into() })
    }

    /// The user of this machine, by number.
    pub fn user(uid: u32) -> Self {
        Self { kind: PrincipalKind::Uid, name: uid.to_string().into() }
    }

    /// Whoever calls a server that asks nobody who they are; `reachable`: from other machines.
    pub fn unproved(reachable: bool) -> Self {
        let kind = if reachable { PrincipalKind::Anonymous } else { PrincipalKind::Local };
        Self { kind, name: "".into() }
    }

    /// Whether anything was proved of it.
    pub fn is_proved(&self) -> bool {
        !matches!(self.kind, PrincipalKind::Local | PrincipalKind::Anonymous)
    }

    /// How it was proved.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }
}

impl fmt::Display for Principal {
    /// `token:ci`, `mtls:spiffe://td/ns/x/sa/y`, `local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.name.is_empty() { Ok(()) } else { write!(f, ":{}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_by_kind_and_name() {
        let written = |kind, name| Principal::new(kind, name).map(|who| who.to_string());
        assert_eq!(written(PrincipalKind::Token, "ci"), Ok("token:ci".into()));
        let uri = "spiffe://prod/ns/billing/sa/reader";
        assert_eq!(written(PrincipalKind::Mtls, uri), Ok(format!("mtls:{uri}")));
        assert_eq!(Principal::unproved(false).to_string(), "local");
        assert_eq!(Principal::unproved(true).to_string(), "anonymous");
    }

    #[test]
    fn names_that_could_deceive_are_refused() {
        let long = "x".repeat(MOST + 1);
        for name in ["", "a b", "a\n", "a\u{0}", "аdmin", &long] {
            assert_eq!(Principal::new(PrincipalKind::Token, name), Err(BadName), "{name:?}");
        }
        assert!(Principal::new(PrincipalKind::Token, &"x".repeat(MOST)).is_ok());
    }
}
