//! Where the server listens, and which of those addresses others can reach.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::CheckError;

/// How an address of a Unix socket begins.
const UNIX: &str = "unix:";

/// The word for sockets that systemd has opened.
const SYSTEMD: &str = "systemd";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// The sockets that systemd has opened and passed on.
    Systemd,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// The addresses of gRPC, one at least.
    pub grpc: Vec<Listen>,
    /// The admin port's address, never a Unix socket; `None`: no admin port.
    pub admin: Option<Listen>,
    /// Whether the admin port speaks TLS.
    pub admin_tls: bool,
    /// The permissions of Unix sockets.
    pub unix_mode: u32,
    /// What may be without TLS.
    pub plaintext: PlaintextAllowed,
    /// Whether others may reach gRPC though nobody is asked who they are; so they may where callers
    /// are asked.
    pub anonymous: bool,
}

/// What may be sent without TLS on addresses that others can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaintextAllowed {
    /// gRPC.
    pub grpc: bool,
    /// The admin port.
    pub admin: bool,
    /// Tokens.
    pub tokens: bool,
}

impl ListenConfig {
    /// gRPC on one TCP address, no admin port.
    pub fn on(address: SocketAddr) -> Self {
        Self {
            grpc: vec![Listen::Tcp(address)],
            admin: None,
            admin_tls: false,
            unix_mode: 0o660,
            plaintext: PlaintextAllowed::default(),
            anonymous: false,
        }
    }

    /// Whether other machines may reach gRPC. What systemd listens on is not known yet, so they
    /// may.
    pub fn is_reachable(&self) -> bool {
        self.grpc.iter().any(|listen| match listen {
            Listen::Tcp(address) => !address.ip().is_loopback(),
            Listen::Unix(_) => false,
            Listen::Systemd => true,
        })
    }

    /// Whether systemd's sockets are wanted.
    pub fn uses_systemd(&self) -> bool {
        self.grpc.iter().chain(&self.admin).any(|listen| *listen == Listen::Systemd)
    }

    /// Refuses gRPC on an address that others can reach, unless by TLS or allowed without, and
    /// unless callers are asked who they are or need not be. `bearers`: they show tokens or JWTs.
    pub fn admits_grpc(
        &self,
        address: SocketAddr,
        tls: bool,
        bearers: bool,
    ) -> Result<(), CheckError> {
        if address.ip().is_loopback() {
            return Ok(());
        }
        if !tls && !self.plaintext.grpc {
            let ways = "give it TLS with --tls-cert and --tls-key, or say --allow-plaintext";
            return Err(CheckError::Plaintext { flag: "listen", address, ways });
        }
        match (self.anonymous, !tls && bearers && !self.plaintext.tokens) {
            (_, true) => Err(CheckError::PlaintextTokens(address)),
            (false, _) => Err(CheckError::Anonymous(address)),
            (true, false) => Ok(()),
        }
    }

    /// Refuses the admin port on an address that others can reach, unless by TLS or allowed
    /// without.
    pub fn admits_admin(&self, address: SocketAddr) -> Result<(), CheckError> {
        let allowed = self.admin_tls || self.plaintext.grpc || self.plaintext.admin;
        if address.ip().is_loopback() || allowed {
            return Ok(());
        }
        let ways = "give it that of the gRPC port with --admin-tls, or say --allow-plaintext-admin";
        Err(CheckError::Plaintext { flag: "admin-listen", address, ways })
    }

    /// Judges all addresses that the flags name. `bearers`: callers show tokens or JWTs.
    pub(super) fn admits_flags(&self, tls: bool, bearers: bool) -> Result<(), CheckError> {
        for address in &self.grpc {
            if let Listen::Tcp(address) = address {
                self.admits_grpc(*address, tls, bearers)?;
            }
        }
        match self.admin {
            Some(Listen::Tcp(admin)) => self.admits_admin(admin),
            Some(Listen::Unix(_) | Listen::Systemd) | None => Ok(()),
        }
    }

    /// Refuses an address of the server's that is to be `other`, of the flag `flag`, too.
    #[cfg(feature = "embedded")]
    pub(super) fn leaves(&self, flag: &'static str, other: SocketAddr) -> Result<(), CheckError> {
        let (other, taken) = (Listen::Tcp(other), CheckError::SameAddress);
        if self.grpc.iter().any(|one| one.is_same(&other)) {
            return Err(taken("listen", flag));
        }
        match self.admin.as_ref().is_some_and(|admin| admin.is_same(&other)) {
            true => Err(taken("admin-listen", flag)),
            false => Ok(()),
        }
    }

    /// Refuses two servers on one address; port 0 is a new port each time.
    pub(super) fn are_distinct(&self) -> Result<(), CheckError> {
        for (at, one) in self.grpc.iter().enumerate() {
            if self.grpc[..at].iter().any(|other| other.is_same(one)) {
                return Err(CheckError::SameAddress("listen", "listen"));
            }
            // systemd's sockets have names that say which is whose.
            let admin = self.admin.as_ref().filter(|admin| **admin != Listen::Systemd);
            if admin.is_some_and(|admin| admin.is_same(one)) {
                return Err(CheckError::SameAddress("listen", "admin-listen"));
            }
        }
        Ok(())
    }
}

impl Listen {
    /// Whether a socket at the one keeps others from the other.
    fn is_same(&self, other: &Self) -> bool {
        match self {
            Self::Tcp(address) if address.port() == 0 => false,
            Self::Tcp(_) | Self::Unix(_) | Self::Systemd => self == other,
        }
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(UNIX) {
            Some("") => Err("a Unix socket is unix:PATH"),
            Some(path) => Ok(Self::Unix(path.into())),
            None if text == SYSTEMD => Ok(Self::Systemd),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                "an address is IP:PORT, such as 127.0.0.1:50051 or [::]:50051, unix:PATH or systemd"
            }),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Systemd => f.write_str(SYSTEMD),
        }
    }
}

/// The permissions of a Unix socket, in octal digits.
pub(super) fn mode(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(_) | Err(_) => Err("permissions are octal digits, such as 0660"),
    }
}
