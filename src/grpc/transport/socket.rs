//! Sockets that clients come by, TCP and Unix alike.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::peer_shares::Peer;

/// A bound socket on which clients connect.
#[derive(Debug)]
pub enum Listener {
    /// On a TCP address.
    Tcp(TcpListener),
    /// On a Unix socket; its file is ours to remove, or `None` where somebody else made it.
    Unix(UnixListener, Option<SocketFile>),
}

/// Where a [`Listener`] is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundAddress {
    /// A TCP address, with its actual port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; empty where it has none.
    Unix(PathBuf),
}

/// The file of a Unix socket, removed when this is dropped, unless somebody has put another there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Its device and number, by which it is known.
    id: (u64, u64),
}

/// One client's socket.
#[derive(Debug)]
pub enum Socket {
    /// By TCP.
    Tcp(TcpStream),
    /// By a Unix socket.
    Unix(UnixStream),
}

/// Why a Unix socket cannot be made at a path.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Another process listens there.
    #[error("another process listens on it")]
    InUse,
    /// Something else is there.
    #[error("there is a file that is no socket")]
    NoSocket,
    /// A socket of another user's.
    #[error("there is a socket of another user's (uid {0})")]
    Foreign(u32),
    /// The system refuses it.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Listener {
    /// Binds a TCP address.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(address).await?))
    }

    /// Makes a Unix socket with these permissions. A socket that nobody listens on any more, as a
    /// killed server leaves it, is replaced if it is ours.
    pub async fn unix(path: &Path, mode: u32) -> Result<Self, UnixSocketError> {
        remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(named)?;
        let made = fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), id: (made.dev(), made.ino()) };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(Self::Unix(listener, Some(file)))
    }

    /// Where it is bound.
    pub fn local_addr(&self) -> io::Result<BoundAddress> {
        Ok(match self {
            Self::Tcp(listener) => BoundAddress::Tcp(listener.local_addr()?),
            Self::Unix(listener, _) => {
                let address = listener.local_addr()?;
                BoundAddress::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned())
            }
        })
    }

    /// The next client, and which peer that is: by its address, or by its user.
    pub(super) fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Socket, Peer)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, address)| {
                // Messages are written whole: waiting to fill packets would only delay them.
                let _ = stream.set_nodelay(true);
                (Socket::Tcp(stream), Peer::at(address.ip()))
            }),
            Self::Unix(listener, _) => listener.poll_accept(context).map(|accepted| {
                let (stream, _) = accepted?;
                // Only a client that is gone already has none.
                let user = stream.peer_cred().map_err(|_| io::ErrorKind::ConnectionAborted)?;
                Ok((Socket::Unix(stream), Peer::user(user.uid())))
            }),
        }
    }
}

impl Socket {
    /// Resolves when the client has sent something: whether it has, or has closed. A Unix socket
    /// does not say which.
    pub(super) async fn has_spoken(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => Ok(stream.peek(&mut [0]).await? > 0),
            Self::Unix(stream) => stream.readable().await.map(|()| true),
        }
    }

    /// The client's address; `None` by a Unix socket.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.id);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket of ours at `path` that nobody listens on.
async fn remove_stale(path: &Path) -> Result<(), UnixSocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !found.file_type().is_socket() {
        return Err(UnixSocketError::NoSocket);
    }
    // Does not wait: a process that listens and accepts nobody must not hold up the start.
    match UnixStream::connect(path).await {
        Ok(_) => return Err(UnixSocketError::InUse),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(UnixSocketError::InUse);
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(error.into()),
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(UnixSocketError::Foreign(found.uid()));
    }
    Ok(fs::remove_file(path)?)
}

/// What binding says of a path that is too long, in words.
fn named(error: io::Error) -> UnixSocketError {
    match error.kind() {
        io::ErrorKind::AddrInUse => UnixSocketError::InUse,
        io::ErrorKind::InvalidInput => {
            io::Error::new(error.kind(), "the path of a socket has at most 107 bytes").into()
        }
        _ => error.into(),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
