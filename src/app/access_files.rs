//! Reads the files that say who may call and do what, and reads them again while the server runs:
//! both are read, then checked, then put in force at once. What is wrong leaves in force what there
//! is.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::access::Access;
use crate::access::current::CurrentAccess;
use crate::access::policy::{Policy, PolicyError};
use crate::access::static_tokens::{Tokens, TokensError};
use crate::config::AccessConfig;
use crate::metrics::Metrics;

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

/// Reads the files again while the server runs, and puts in force what is well.
#[derive(Debug)]
pub(super) struct AccessReloader {
    current: CurrentAccess,
    config: AccessConfig,
    certificates: bool,
    metrics: Metrics,
    /// What was read at the last look: the texts, or why there are none.
    seen: Result<AccessTexts, String>,
}

/// The texts of the files; `None` where none is configured.
#[derive(Clone, PartialEq, Eq)]
struct AccessTexts {
    tokens: Option<String>,
    policy: Option<String>,
}

impl AccessReloader {
    /// Reads the files. `certificates`: clients show some.
    pub(super) async fn load(
        config: AccessConfig,
        certificates: bool,
        metrics: Metrics,
    ) -> Result<(CurrentAccess, Self), AccessFileError> {
        let texts = AccessTexts::read(&config).await?;
        let access = texts.parse(&config, certificates)?;
        if config.tokens.is_some() && config.policy.is_none() {
            tracing::warn!("--tokens without --policy: callers are known, and may do nothing");
        }
        let current = CurrentAccess::new(access);
        let seen = Ok(texts);
        Ok((current.clone(), Self { current, config, certificates, metrics, seen }))
    }

    /// Reads the files. What is as it was at the last look is left alone, unless `told` to look.
    pub(super) async fn look(&mut self, told: bool) {
        if self.config.tokens.is_none() && self.config.policy.is_none() {
            return;
        }
        let read = AccessTexts::read(&self.config).await;
        let seen = read.as_ref().map(AccessTexts::clone).map_err(ToString::to_string);
        if told || seen != self.seen {
            self.seen = seen;
            match read.and_then(|texts| texts.parse(&self.config, self.certificates)) {
                Ok(access) => {
                    self.metrics.access_reload("ok");
                    tracing::info!("the files of callers were read again");
                    self.current.store(access);
                }
                Err(error) => {
                    self.metrics.access_reload("failed");
                    tracing::error!(%error, "a file of callers cannot be used; those before stay in force");
                }
            }
        }
    }
}

impl AccessTexts {
    async fn read(config: &AccessConfig) -> Result<Self, AccessFileError> {
        let mut texts = Self { tokens: None, policy: None };
        if let Some(path) = &config.tokens {
            texts.tokens = Some(text("tokens", path).await?);
        }
        if let Some(path) = &config.policy {
            texts.policy = Some(text("policy", path).await?);
        }
        Ok(texts)
    }

    fn parse(&self, config: &AccessConfig, certificates: bool) -> Result<Access, AccessFileError> {
        let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        let tokens = self.tokens.as_deref().map(Tokens::parse).transpose();
        let tokens = tokens
            .map_err(|source| AccessFileError::Tokens { path: path(&config.tokens), source })?;
        let policy = self.policy.as_deref().map(Policy::parse).transpose();
        let policy = policy
            .map_err(|source| AccessFileError::Policy { path: path(&config.policy), source })?;
        Ok(Access::new(tokens, policy, certificates, config.reachable))
    }
}

impl fmt::Debug for AccessTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTexts").finish_non_exhaustive()
    }
}

async fn text(flag: &'static str, path: &Path) -> Result<String, AccessFileError> {
    let failed = |source| AccessFileError::Read { flag, path: path.to_owned(), source };
    // Before it is opened: opening a pipe waits for whoever writes to it.
    if !tokio::fs::metadata(path).await.map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a file")));
    }
    let file = File::open(path).await.map_err(failed)?;
    if is_writable_by_all(&file.metadata().await.map_err(failed)?) {
        return Err(AccessFileError::Writable { flag, path: path.to_owned() });
    }
    let mut text = String::new();
    let length = file.take(MOST_BYTES + 1).read_to_string(&mut text).await.map_err(failed)?;
    if length as u64 > MOST_BYTES {
        return Err(failed(io::Error::other(format!("more than {MOST_BYTES} bytes"))));
    }
    // As it is for a moment while an editor writes it anew.
    if text.is_empty() {
        return Err(failed(io::Error::other("it is empty")));
    }
    Ok(text)
}

#[cfg(unix)]
fn is_writable_by_all(file: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.permissions().mode() & 0o002 != 0
}

#[cfg(not(unix))]
fn is_writable_by_all(_: &Metadata) -> bool {
    false
}
