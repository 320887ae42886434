//! Certificates and keys made for one test, and the files that hold them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use shardstream::config::{ClientAuth, ClientTlsFiles, ServerTlsFiles, TlsVersion};

/// An authority that signs certificates.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for the server at 127.0.0.1, changed.
    pub fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
            change(params);
        })
    }

    /// A certificate for a client, changed.
    pub fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, |params| {
            let uri = "spiffe://test/client".try_into().expect("ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
            change(params);
        })
    }

    fn issue(
        &self,
        usage: ExtendedKeyUsagePurpose,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = CertificateParams::new([]).expect("no names");
        params.extended_key_usages = vec![usage];
        // Long: the machine's clock is the one that decides.
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// Expired for years.
pub fn expired(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
}

/// Valid in years only.
pub fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2119, 1, 1);
}

/// A folder of PEM files; gone when dropped.
pub struct Pems(tempfile::TempDir);

impl Pems {
    /// No files yet.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// The files of a server, and `ca.pem` for its clients.
    pub fn of_server(ca: &Ca, server: &Issued) -> Self {
        let pems = Self::new();
        pems.write("ca.pem", &ca.pem());
        pems.identity("server", server);
        pems
    }

    /// Writes or replaces a file, as those do who renew certificates: whole, by a rename.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let half = self.path(&format!("{name}.new"));
        std::fs::write(&half, text).expect("written");
        std::fs::rename(&half, self.path(name)).expect("renamed");
        self.path(name)
    }

    /// `NAME.pem` and `NAME.key`.
    pub fn identity(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let key = self.write(&format!("{name}.key"), &issued.key);
        (self.write(&format!("{name}.pem"), &issued.certificate), key)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the server is started with.
    pub fn server(&self) -> ServerTlsFiles {
        ServerTlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: None,
            min_version: TlsVersion::Tls12,
            http1: false,
            admin: false,
        }
    }

    /// The same, for clients who show a certificate of this CA.
    pub fn mutual(&self, client_ca: &Ca, auth: ClientAuth) -> ServerTlsFiles {
        let ca = self.write("client-ca.pem", &client_ca.pem());
        ServerTlsFiles { client_ca: Some((ca, auth)), ..self.server() }
    }

    /// What a client trusts, and shows.
    pub fn client(&self, identity: Option<&Issued>) -> ClientTlsFiles {
        let identity = identity.map(|issued| self.identity("client", issued));
        ClientTlsFiles { ca: Some(self.path("ca.pem")), identity }
    }
}

/// The path as text.
pub fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}
