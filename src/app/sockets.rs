//! Binds the server's sockets, or takes those that systemd has opened.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};

use super::BuildError;
use crate::config::{CheckError, Listen, ServeConfig};
use crate::grpc::transport::socket::{BoundAddress, Listener, UnixSocketError};
use crate::systemd::{PassedSocket, PassedSockets, StreamSocket};

/// The sockets of a server.
pub(super) struct Sockets {
    /// Those of gRPC.
    pub(super) grpc: Vec<Listener>,
    /// Where they are bound.
    pub(super) addresses: Vec<BoundAddress>,
    /// The admin port's, where it has one.
    pub(super) admin: Option<(TcpListener, SocketAddr)>,
}

/// Why a Unix socket or one of systemd's cannot be listened on; the text is for whoever wrote the
/// flag.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no such socket among those that were passed.
    #[error(
        "--{0} systemd: systemd has passed no socket for it; \
         Sockets= and FileDescriptorName= of the units say which"
    )]
    NotPassed(&'static str),
    /// A socket was passed that is of no use here.
    #[error("--{flag} systemd: the socket {name:?} is of no use: {reason}")]
    Passed {
        /// The flag it is for.
        flag: &'static str,
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// More sockets were passed than there is use for.
    #[error(
        "--admin-listen systemd: systemd has passed {0} sockets of the name admin, and the admin \
         port is one; give the others another FileDescriptorName="
    )]
    Several(usize),
    /// A socket of systemd's that others can reach.
    #[error(transparent)]
    Exposed(#[from] CheckError),
    /// A Unix socket cannot be made.
    #[error("--listen {0}: {1}")]
    Unix(Listen, UnixSocketError),
}

impl SocketError {
    /// Whether another process is at fault, not the flag.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(self, Self::Unix(_, UnixSocketError::InUse))
    }
}

impl Sockets {
    /// Binds what `config` says; `passed` are systemd's.
    pub(super) async fn bind(
        config: &ServeConfig,
        passed: PassedSockets,
    ) -> Result<Self, BuildError> {
        let listen = &config.listen;
        let (for_admin, for_grpc): (Vec<_>, Vec<_>) =
            passed.sockets.into_iter().partition(|socket| socket.name == "admin");
        let mut for_grpc = Some(for_grpc);
        let mut grpc = vec![];
        for one in &listen.grpc {
            match one {
                Listen::Tcp(address) => grpc.push(tcp(*address, "--listen").await?),
                Listen::Unix(path) => {
                    let made = Listener::unix(path, listen.unix_mode).await;
                    grpc.push(made.map_err(|error| SocketError::Unix(one.clone(), error))?);
                }
                Listen::Systemd => {
                    let passed = for_grpc.take().unwrap_or_default();
                    grpc.extend(taken(passed, "listen")?);
                }
            }
        }
        let admin = match &listen.admin {
            Some(Listen::Tcp(address)) => Some(tcp(*address, "--admin-listen").await?),
            Some(Listen::Systemd) if for_admin.len() > 1 => {
                return Err(SocketError::Several(for_admin.len()).into());
            }
            Some(Listen::Systemd) => taken(for_admin, "admin-listen")?.pop(),
            Some(Listen::Unix(_)) | None => {
                unused(&for_admin, "--admin-listen");
                None
            }
        };
        unused(for_grpc.as_deref().unwrap_or_default(), "--listen");
        let admin = match admin {
            Some(Listener::Tcp(listener)) => {
                let address = listener.local_addr();
                let unbound = |error| unbound("admin-listen", "admin", &error);
                Some((listener, address.map_err(unbound)?))
            }
            Some(Listener::Unix(..)) => {
                let reason = "it is a Unix socket, and the admin port is TCP".into();
                let (flag, name) = ("admin-listen", "admin".into());
                return Err(SocketError::Passed { flag, name, reason }.into());
            }
            None => None,
        };
        let addresses: io::Result<Vec<_>> = grpc.iter().map(Listener::local_addr).collect();
        let addresses = addresses.map_err(|error| unbound("listen", "grpc", &error))?;
        admitted(config, &addresses, admin.as_ref().map(|(_, address)| *address))?;
        Ok(Self { grpc, addresses, admin })
    }
}

/// Judges every address as the flags were judged: systemd may listen anywhere.
fn admitted(
    config: &ServeConfig,
    grpc: &[BoundAddress],
    admin: Option<SocketAddr>,
) -> Result<(), SocketError> {
    for address in grpc {
        if let BoundAddress::Tcp(address) = address {
            let bearers = config.access.bearers();
            config.listen.admits_grpc(*address, config.tls.is_some(), bearers)?;
        }
    }
    Ok(admin.map_or(Ok(()), |admin| config.listen.admits_admin(admin))?)
}

/// Says that sockets were passed which nothing takes: their clients wait for ever.
fn unused(passed: &[PassedSocket], flag: &str) {
    for PassedSocket { name, .. } in passed {
        tracing::warn!(name, "systemd has passed a socket, and {flag} does not say systemd");
    }
}

/// A socket that is not bound as it should be.
fn unbound(flag: &'static str, name: &str, error: &io::Error) -> SocketError {
    SocketError::Passed { flag, name: name.to_owned(), reason: error.to_string() }
}

async fn tcp(address: SocketAddr, flag: &'static str) -> Result<Listener, BuildError> {
    Listener::tcp(address).await.map_err(|error| BuildError::Listen(address, error, flag))
}

/// The sockets of systemd's as listeners; one at least.
fn taken(passed: Vec<PassedSocket>, flag: &'static str) -> Result<Vec<Listener>, SocketError> {
    if passed.is_empty() {
        return Err(SocketError::NotPassed(flag));
    }
    let taken = passed.into_iter().map(|PassedSocket { name, socket }| {
        let refused = |reason| SocketError::Passed { flag, name: name.clone(), reason };
        let socket = socket.map_err(refused)?;
        socket.try_into().map_err(|error: io::Error| refused(error.to_string()))
    });
    taken.collect()
}

impl TryFrom<StreamSocket> for Listener {
    type Error = io::Error;

    fn try_from(socket: StreamSocket) -> io::Result<Self> {
        Ok(match socket {
            StreamSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            StreamSocket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                // systemd made the file, and goes on listening.
                Self::Unix(UnixListener::from_std(listener)?, None)
            }
        })
    }
}
