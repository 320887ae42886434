//! TLS as the client commands speak it: whom they trust, and what certificate they show.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::sign::SingleCertAndKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::{Content, TlsFileError, identity, provider};
use crate::config::ClientTlsFiles;
use crate::model::Timestamp;

pub use tokio_rustls::client::TlsStream;

/// The protocol that is offered: HTTP/2, which gRPC needs.
const ALPN: &[u8] = b"h2";

/// What is needed to connect to one server by TLS. A cheap clone.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Why TLS cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// A file.
    #[error(transparent)]
    File(#[from] TlsFileError),
    /// The system has no trusted certificates.
    #[error("this system has no certificates to trust: name the server's CA with --tls-ca FILE")]
    NoRoots,
    /// The server's name is no name that certificates are made for.
    #[error("{0:?} is no name that a certificate can be for")]
    Name(String),
    /// rustls does not take the configuration.
    #[error("TLS cannot be set up: {0}")]
    Setup(Error),
}

impl ClientTls {
    /// TLS to the server at `host`, a name or an address, at a time that is `now`.
    pub async fn new(
        files: &ClientTlsFiles,
        host: &str,
        now: Timestamp,
    ) -> Result<Self, ClientTlsError> {
        let name = server_name(host)?;
        let roots = match &files.ca {
            Some(ca) => Content::read("tls-ca", ca).await?.roots()?.0,
            None => of_the_system()?,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(ClientTlsError::Setup)?
            .with_root_certificates(roots);
        let mut config = match &files.identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = Content::read("tls-cert", certificate).await?;
                let key = Content::read("tls-key", key).await?;
                let (certified, _) = identity(&certificate, &key, now)?;
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }

    /// TLS to the host of a URL that is asked by HTTP/1, where no client certificate is shown.
    /// `ca`: who is trusted, and the flag that says so; `None`: whom the system trusts.
    pub async fn of_url(
        ca: Option<(&'static str, &Path)>,
        host: &str,
    ) -> Result<Self, ClientTlsError> {
        let roots = match ca {
            Some((flag, ca)) => Content::read(flag, ca).await?.roots()?.0,
            None => of_the_system()?,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(ClientTlsError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name: server_name(host)? })
    }

    /// The handshake on a connection.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.config.clone());
        connector.connect(self.name.clone(), stream).await
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, ClientTlsError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| ClientTlsError::Name(host.to_owned()))
}

fn of_the_system() -> Result<RootCertStore, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    // Those of them that cannot be read or parsed are nobody's to mend here.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(ClientTlsError::NoRoots) } else { Ok(roots) }
}

/// What TLS says about the failure of a connection or a call: what happened, and what to do next.
/// `None` where it was not TLS that failed.
pub fn explain(error: &(dyn std::error::Error + 'static)) -> Option<(String, &'static str)> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<Error>() {
            return Some(explained(tls));
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
            && let Some(tls) = inner.downcast_ref::<Error>()
        {
            return Some(explained(tls));
        }
        next = error.source();
    }
    None
}

fn explained(error: &Error) -> (String, &'static str) {
    const NAME: &str = "say one of these names in --server, or have a certificate made for it";
    const OURS: &str = "give the certificate of this client that the server trusts: --tls-cert FILE --tls-key FILE";
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => (
            "the server's certificate is not signed by anybody who is trusted here".into(),
            "name the CA that signed it: --tls-ca FILE",
        ),
        Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected,
            presented,
        }) => (
            format!(
                "the server's certificate is not for {}, but for {}",
                expected.to_str(),
                presented.join(", ")
            ),
            NAME,
        ),
        Error::InvalidCertificate(CertificateError::NotValidForName) => {
            ("the server's certificate is not for this name".into(), NAME)
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => (
            "the server's certificate has expired".into(),
            "tell whoever runs the server; or set this machine's clock",
        ),
        Error::InvalidCertificate(error) => (
            format!("the server's certificate cannot be trusted: {error}"),
            "tell whoever runs the server",
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            ("the server wants a certificate of its clients".into(), OURS)
        }
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::DecryptError),
        ) => (format!("the server does not accept this client's certificate ({alert:?})"), OURS),
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => (
            "the server does not speak HTTP/2 there".into(),
            "say where its gRPC port is: --server URL",
        ),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "the server speaks no TLS there".into(),
            "use http://, without --tls, or say where its TLS port is: --server URL",
        ),
        error => (format!("TLS failed: {error}"), "see what the server's log says of it"),
    }
}
