//! Reads the files that say who may call and do what.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::access::Access;
use crate::access::policy::{Policy, PolicyError};
use crate::access::tokens::{Tokens, TokensError};
use crate::config::AccessConfig;

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;

/// Why a file was refused; the text is for whoever wrote it, and never has a digest in it.
#[derive(Debug, thiserror::Error)]
pub enum AccessFileError {
    /// It cannot be read.
    #[error("--{flag} {}: {source}", path.display())]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Everybody on this machine may write to it, and so let themselves in.
    #[error("--{flag} {}: anybody may write to this file; chmod o-w it", path.display())]
    Writable {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// It says no tokens.
    #[error("--tokens {}: {source}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: TokensError,
    },
    /// It says no policy.
    #[error("--policy {}: {source}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: PolicyError,
    },
}

/// What the configured files say. `certificates`: clients show some.
pub(super) fn read(config: &AccessConfig, certificates: bool) -> Result<Access, AccessFileError> {
    let tokens = config.tokens.as_deref().map(|path| {
        Tokens::parse(&text("tokens", path)?)
            .map_err(|source| AccessFileError::Tokens { path: path.to_owned(), source })
    });
    let policy = config.policy.as_deref().map(|path| {
        Policy::parse(&text("policy", path)?)
            .map_err(|source| AccessFileError::Policy { path: path.to_owned(), source })
    });
    let (tokens, policy) = (tokens.transpose()?, policy.transpose()?);
    if tokens.is_some() && policy.is_none() {
        tracing::warn!("--tokens without --policy: callers are known, and may do nothing");
    }
    Ok(Access::new(tokens, policy, certificates, config.reachable))
}

fn text(flag: &'static str, path: &Path) -> Result<String, AccessFileError> {
    let failed = |source| AccessFileError::Read { flag, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if is_writable_by_all(&file).map_err(failed)? {
        return Err(AccessFileError::Writable { flag, path: path.to_owned() });
    }
    let mut text = String::new();
    let length = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if length as u64 > MOST_BYTES {
        return Err(failed(io::Error::other(format!("more than {MOST_BYTES} bytes"))));
    }
    Ok(text)
}

#[cfg(unix)]
fn is_writable_by_all(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn is_writable_by_all(_: &File) -> io::Result<bool> {
    Ok(false)
}
