//! Reads the files that say who may call and do what, and reads them again while the server runs:
//! both are read, then checked, then put in force at once. What is wrong leaves in force what there
//! is.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::access::current::CurrentAccess;
use crate::access::jwt::{JwksError, Jwts, KeySet, KeysFreshness};
use crate::access::policy::{Policy, PolicyError};
use crate::access::static_tokens::{Tokens, TokensError};
use crate::access::{Accepted, Access};
use crate::clock::Clock;
use crate::config::{AccessConfig, JwksSource, JwtConfig};
use crate::metrics::Metrics;
use crate::tls::ClientTls;
use crate::tls::client::ClientTlsError;

use super::jwks::{JwksFetchError, JwksFetcher};

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
    /// It says no keys.
    #[error("--jwt-jwks {}: {source}", path.display())]
    Jwks {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: JwksError,
    },
    /// The keys cannot be fetched.
    #[error("--jwt-jwks {url}: {source}; --jwt-jwks-optional starts without")]
    Fetch {
        /// From where.
        url: http::Uri,
        /// Why not.
        source: JwksFetchError,
    },
    /// The keys could not be fetched whatever happens.
    #[error("--jwt-jwks: {0}")]
    Tls(#[from] ClientTlsError),
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
    clock: Clock,
    metrics: Metrics,
    /// Where keys come from by a URL; `None`: from nowhere.
    fetcher: Option<JwksFetcher>,
    freshness: KeysFreshness,
    /// What was read at the last look: the texts, or why there are none.
    seen: Result<AccessTexts, String>,
}

/// The texts of the files; `None` where none is configured.
#[derive(Clone, PartialEq, Eq)]
struct AccessTexts {
    tokens: Option<String>,
    policy: Option<String>,
    jwks: Option<String>,
}

impl AccessReloader {
    /// Reads the files. `certificates`: clients show some.
    pub(super) async fn load(
        config: AccessConfig,
        certificates: bool,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<(CurrentAccess, Self), AccessFileError> {
        let freshness = KeysFreshness::default();
        let fetcher = fetcher(&config, clock.clone(), &freshness).await?;
        let texts = AccessTexts::read(&config, fetcher.as_ref()).await?;
        let access = texts.parse(&config, certificates, &freshness)?;
        if (config.tokens.is_some() || config.jwt.is_some()) && config.policy.is_none() {
            tracing::warn!("tokens without --policy: callers are known, and may do nothing");
        }
        let current = CurrentAccess::new(access);
        let seen = Ok(texts);
        let reloader = Self {
            current: current.clone(),
            config,
            certificates,
            clock,
            metrics,
            fetcher,
            freshness,
            seen,
        };
        reloader.tell_expiry();
        Ok((current, reloader))
    }

    /// Reads the files. What is as it was at the last look is left alone, unless `told` to look.
    /// Answers what became of it; `None`: nothing changed.
    pub(super) async fn look(&mut self, told: bool) -> Option<Result<(), String>> {
        let AccessConfig { tokens, jwt, policy, .. } = &self.config;
        if tokens.is_none() && jwt.is_none() && policy.is_none() {
            return None;
        }
        let mut unfetched = None;
        if let Some(fetcher) = &mut self.fetcher
            && let Err(error) = fetcher.look(told).await
        {
            self.metrics.access_reload("failed");
            tracing::error!(%error, "the keys of JWTs cannot be fetched; those before stay in force for a day");
            unfetched = told.then(|| error.to_string());
        }
        let read = AccessTexts::read(&self.config, self.fetcher.as_ref()).await;
        let seen = read.as_ref().map(AccessTexts::clone).map_err(ToString::to_string);
        let mut became = None;
        if told || seen != self.seen {
            self.seen = seen;
            let parse =
                |texts: AccessTexts| texts.parse(&self.config, self.certificates, &self.freshness);
            became = Some(match read.and_then(parse) {
                Ok(access) => {
                    self.metrics.access_reload("ok");
                    tracing::info!("the files of callers were read again");
                    self.current.store(access);
                    Ok(())
                }
                Err(error) => {
                    self.metrics.access_reload("failed");
                    tracing::error!(%error, "a file of callers cannot be used; those before stay in force");
                    Err(error.to_string())
                }
            });
        }
        self.tell_expiry();
        match (unfetched, became) {
            (Some(error), Some(Ok(()))) => Some(Err(error)),
            (_, became) => became,
        }
    }

    /// What expired before is not told of any more.
    fn tell_expiry(&self) {
        let next = self.current.load().next_expiry(self.clock.now().wall);
        self.metrics.token_expiry(next);
    }
}

impl AccessTexts {
    async fn read(
        config: &AccessConfig,
        fetcher: Option<&JwksFetcher>,
    ) -> Result<Self, AccessFileError> {
        let fetched = fetcher.and_then(JwksFetcher::text).map(str::to_owned);
        let mut texts = Self { tokens: None, policy: None, jwks: fetched };
        if let Some(JwtConfig { keys: JwksSource::File(path), .. }) = &config.jwt {
            texts.jwks = Some(text("jwt-jwks", path).await?);
        }
        if let Some(path) = &config.tokens {
            texts.tokens = Some(text("tokens", path).await?);
        }
        if let Some(path) = &config.policy {
            texts.policy = Some(text("policy", path).await?);
        }
        Ok(texts)
    }

    fn parse(
        &self,
        config: &AccessConfig,
        certificates: bool,
        freshness: &KeysFreshness,
    ) -> Result<Access, AccessFileError> {
        let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        let tokens = self.tokens.as_deref().map(Tokens::parse).transpose();
        let tokens = tokens
            .map_err(|source| AccessFileError::Tokens { path: path(&config.tokens), source })?;
        let policy = self.policy.as_deref().map(Policy::parse).transpose();
        let policy = policy
            .map_err(|source| AccessFileError::Policy { path: path(&config.policy), source })?;
        let keys = self.jwks.as_deref().map(KeySet::parse).transpose();
        let keys = keys.map_err(|source| {
            let path = match config.jwt.as_ref().map(|jwt| &jwt.keys) {
                Some(JwksSource::File(path)) => path.clone(),
                Some(JwksSource::Url(..)) | None => PathBuf::default(),
            };
            AccessFileError::Jwks { path, source }
        })?;
        let jwts = config.jwt.as_ref().map(|jwt| {
            Jwts::new(jwt.expected.clone(), keys.unwrap_or_default(), freshness.clone())
        });
        let accepted = Accepted { tokens, jwts, certificates };
        Ok(Access::new(accepted, policy, config.reachable))
    }
}

impl fmt::Debug for AccessTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTexts").finish_non_exhaustive()
    }
}

/// Who fetches the keys of JWTs, after a first fetch; `None`: they come from no URL.
async fn fetcher(
    config: &AccessConfig,
    clock: Clock,
    freshness: &KeysFreshness,
) -> Result<Option<JwksFetcher>, AccessFileError> {
    let Some(JwtConfig { keys: JwksSource::Url(url, ca), optional, .. }) = &config.jwt else {
        return Ok(None);
    };
    let ca = ca.as_deref().map(|ca| ("jwt-jwks-ca", ca));
    let tls = ClientTls::of_url(ca, url.host().unwrap_or_default()).await?;
    let mut fetcher = JwksFetcher::new(url.clone(), tls, clock, freshness.clone());
    match fetcher.look(true).await {
        Err(source) if !optional => {
            return Err(AccessFileError::Fetch { url: url.clone(), source });
        }
        Err(error) => tracing::warn!(%error, "no keys of JWTs yet: none is taken"),
        Ok(()) => {}
    }
    Ok(Some(fetcher))
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
