//! The server's TLS: what handshakes use, read again while it runs.
//!
//! All files are read, then checked together, then published at once; a handshake uses what was
//! published when it began. What is wrong leaves in force what there is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::UnixTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{Content, FileFault, TlsFileError, identity, provider};
use super::peer::PeerCertificates;
use crate::clock::Clock;
use crate::config::{ClientAuth, ServerTlsFiles, TlsVersion};
use crate::metrics::Metrics;
use crate::model::Timestamp;

/// The protocol that is spoken: HTTP/2, which gRPC needs.
pub const ALPN: &[u8] = b"h2";

/// The protocol that is spoken with gRPC-Web beside it.
pub const HTTP1: &[u8] = b"http/1.1";

/// The server's TLS, in force. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub struct ServerTls {
    current: Arc<ArcSwap<Published>>,
    /// Sent whenever something else is in force.
    changes: watch::Sender<()>,
    clock: Clock,
}

/// What is in force.
#[derive(Debug)]
struct Published {
    config: Arc<ServerConfig>,
    /// The same for the admin port, which speaks HTTP/1.1.
    admin: Arc<ServerConfig>,
    /// Who judges the certificates of clients; `None`: they show none.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// Why what a client has shown is accepted no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unaccepted {
    /// It has expired.
    Expired,
    /// Its CA was taken out.
    Unknown,
}

/// Whether what one client has shown is accepted still.
#[derive(Debug)]
pub struct Acceptance {
    tls: ServerTls,
    shown: PeerCertificates,
    changes: watch::Receiver<()>,
}

/// Reads the files again while the server runs, and publishes what is well.
#[derive(Debug)]
pub struct Reloader {
    tls: ServerTls,
    files: ServerTlsFiles,
    clock: Clock,
    metrics: Metrics,
    /// What was read at the last look: the contents, or why there are none.
    seen: Result<Contents, String>,
    /// When the certificate in force expires; `None` once that was reported.
    expires: Option<Timestamp>,
}

/// The contents of all files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    certificate: Content,
    key: Content,
    client_ca: Option<Content>,
}

/// What contents that are well make.
struct Checked {
    config: ServerConfig,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    /// When the server's certificate expires.
    certificate: Timestamp,
    /// When the first of the clients' CAs expires.
    client_ca: Option<Timestamp>,
}

/// When what the files hold expires: the server's certificate, and the first of the CAs that vouch
/// for clients. Fails where the server would not start with them.
pub async fn expiries(
    files: &ServerTlsFiles,
    now: Timestamp,
) -> Result<(Timestamp, Option<Timestamp>), TlsFileError> {
    let checked = Contents::read(files).await?.check(files, now)?;
    Ok((checked.certificate, checked.client_ca))
}

impl ServerTls {
    /// Reads and checks the files; the reloader goes on doing so.
    pub async fn load(
        files: ServerTlsFiles,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<(Self, Reloader), TlsFileError> {
        let contents = Contents::read(&files).await?;
        let checked = contents.check(&files, clock.now().wall)?;
        let expires = Some(checked.certificate);
        tell_expiry(&metrics, &checked);
        let tls = Self {
            current: Arc::new(ArcSwap::from_pointee(checked.publish())),
            changes: watch::Sender::new(()),
            clock: clock.clone(),
        };
        let reloader =
            Reloader { tls: tls.clone(), files, clock, metrics, seen: Ok(contents), expires };
        Ok((tls, reloader))
    }

    /// What a handshake that begins now uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// The handshake with a client of the admin port.
    pub async fn accept_admin(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current.load().admin.clone();
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Whether what a client has shown goes on to be accepted.
    pub fn acceptance(&self, shown: PeerCertificates) -> Acceptance {
        Acceptance { tls: self.clone(), shown, changes: self.changes.subscribe() }
    }

    fn accepts(&self, shown: &PeerCertificates) -> bool {
        let current = self.current.load();
        let Some(clients) = &current.clients else { return true };
        let now = u64::try_from(self.clock.now().wall.seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        shown
            .split_first()
            .is_none_or(|(own, others)| clients.verify_client_cert(own, others, now).is_ok())
    }
}

impl Acceptance {
    /// Resolves when the certificates are accepted no more, with why.
    pub async fn lost(mut self) -> Unaccepted {
        let now = self.tls.clock.now().wall;
        let expires = self.shown.expires().map(|expires| Instant::now() + expires.since(now));
        loop {
            if !self.tls.accepts(&self.shown) {
                let expires = self.shown.expires();
                return match expires.is_some_and(|expires| expires <= self.tls.clock.now().wall) {
                    true => Unaccepted::Expired,
                    false => Unaccepted::Unknown,
                };
            }
            // Both are cancel-safe: a timer, and a change that is noted until it is seen.
            tokio::select! {
                biased;
                () = crate::clock::sleep_until(expires) => return Unaccepted::Expired,
                changed = self.changes.changed() => {
                    changed.expect("the sender is held here");
                }
            }
        }
    }
}

impl Reloader {
    /// Reads the files. What is as it was at the last look is left alone, unless `told` to look.
    /// Answers what became of it; `None`: nothing changed.
    pub async fn look(&mut self, told: bool) -> Option<Result<(), String>> {
        let mut became = None;
        let now = self.clock.now().wall;
        let read = Contents::read(&self.files).await;
        let seen = read.as_ref().map(Contents::clone).map_err(ToString::to_string);
        if told || seen != self.seen {
            self.seen = seen;
            match read.and_then(|contents| contents.check(&self.files, now)) {
                Ok(checked) => {
                    self.publish(checked);
                    became = Some(Ok(()));
                }
                Err(error) => {
                    became = Some(Err(error.to_string()));
                    self.metrics.tls_reload("failed");
                    tracing::error!(%error, "the files of TLS cannot be used; those before stay in force");
                }
            }
        }
        if self.expires.is_some_and(|expires| expires < now) {
            self.expires = None;
            tracing::error!(
                "the server's certificate has expired: clients do not connect any more"
            );
        }
        became
    }

    fn publish(&mut self, checked: Checked) {
        tell_expiry(&self.metrics, &checked);
        self.metrics.tls_reload("ok");
        self.expires = Some(checked.certificate);
        tracing::info!(expires = %checked.certificate, "the files of TLS were read again");
        // Sessions of before are not resumed: each configuration remembers its own.
        self.tls.current.store(Arc::new(checked.publish()));
        self.tls.changes.send_replace(());
    }
}

impl Checked {
    fn publish(self) -> Published {
        let mut admin = self.config.clone();
        admin.alpn_protocols = vec![HTTP1.to_vec()];
        let (config, admin) = (Arc::new(self.config), Arc::new(admin));
        Published { config, admin, clients: self.clients }
    }
}

fn tell_expiry(metrics: &Metrics, checked: &Checked) {
    metrics.tls_expiry("server", Some(checked.certificate));
    metrics.tls_expiry("client_ca", checked.client_ca);
}

impl Contents {
    async fn read(files: &ServerTlsFiles) -> Result<Self, TlsFileError> {
        Ok(Self {
            certificate: Content::read("tls-cert", &files.certificate).await?,
            key: Content::read("tls-key", &files.key).await?,
            client_ca: match &files.client_ca {
                Some((ca, _)) => Some(Content::read("tls-client-ca", ca).await?),
                None => None,
            },
        })
    }

    fn check(&self, files: &ServerTlsFiles, now: Timestamp) -> Result<Checked, TlsFileError> {
        let refused = |error: &dyn std::fmt::Display| {
            self.certificate.fault(FileFault::Refused(error.to_string()))
        };
        let (certified, valid) = identity(&self.certificate, &self.key, now)?;
        let versions = versions(files.min_version);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| refused(&error))?;
        let (builder, clients, expires) = match (&self.client_ca, &files.client_ca) {
            (Some(content), Some((_, wanted))) => {
                let (roots, expires) = content.roots()?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                let verifier = match wanted {
                    ClientAuth::Required => verifier,
                    ClientAuth::Requested => verifier.allow_unauthenticated(),
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| content.fault(FileFault::Refused(error.to_string())))?;
                (builder.with_client_cert_verifier(verifier.clone()), Some(verifier), expires)
            }
            _ => (builder.with_no_client_auth(), None, None),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        if files.http1 {
            config.alpn_protocols.push(HTTP1.to_vec());
        }
        if self.client_ca.is_some() {
            // A session that is resumed is not asked for a certificate again, which may have expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Checked { config, clients, certificate: valid.not_after, client_ca: expires })
    }
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match least {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => &NEWEST,
    }
}
