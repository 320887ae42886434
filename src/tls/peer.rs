//! The certificates that a client has shown, and the names in them.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::validity::validity;
use crate::model::Timestamp;

/// The certificates of a connection's client, verified when it connected; its own is the first. A
/// cheap clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificates(Arc<[CertificateDer<'static>]>);

impl PeerCertificates {
    /// The certificates of a client; `None` if there are none.
    pub fn new(chain: Option<&[CertificateDer<'static>]>) -> Option<Self> {
        chain.filter(|chain| !chain.is_empty()).map(|chain| Self(chain.into()))
    }

    /// The client's own certificate, and those that vouch for it.
    pub(super) fn split_first(
        &self,
    ) -> Option<(&CertificateDer<'static>, &[CertificateDer<'static>])> {
        self.0.split_first()
    }

    /// The URIs that the client's certificate names, such as `spiffe://prod/ns/billing/sa/api`.
    pub fn uris(&self) -> Vec<String> {
        self.parsed().iter().flat_map(|own| own.valid_uri_names()).map(str::to_owned).collect()
    }

    /// The DNS names that it names.
    pub fn dns_names(&self) -> Vec<String> {
        self.parsed().iter().flat_map(|own| own.valid_dns_names()).map(str::to_owned).collect()
    }

    /// When it expires.
    pub fn expires(&self) -> Option<Timestamp> {
        self.0.first().and_then(validity).map(|validity| validity.not_after)
    }

    fn parsed(&self) -> Option<EndEntityCert<'_>> {
        self.0.first().and_then(|own| EndEntityCert::try_from(own).ok())
    }
}
