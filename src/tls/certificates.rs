//! The files of TLS: PEM with certificates and keys, read and checked one by one. No error holds
//! anything of their content.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt as _;
use webpki::EndEntityCert;

use super::validity::{Validity, validity};
use crate::model::Timestamp;

/// The most bytes of a file: larger ones are not what they should be.
const MOST_BYTES: u64 = 1 << 20;

/// Why a file of TLS cannot be used: which flag names it, where it is, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("--{flag} {}: {fault}", path.display())]
pub struct TlsFileError {
    /// The flag that names the file.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: FileFault,
}

/// What is wrong with a file of TLS.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It is missing, or not ours to read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A folder, a pipe or a device.
    #[error("is not a file")]
    NoFile,
    /// Too large to be what it should be.
    #[error("is larger than 1 MiB")]
    TooLarge,
    /// It has something between PEM's lines that is not base64, or no end.
    #[error("is not whole PEM")]
    NotPem,
    /// No certificate where one has to be.
    #[error("has no certificate in it (PEM, -----BEGIN CERTIFICATE-----){0}")]
    NoCertificate(&'static str),
    /// A certificate that cannot be parsed; counted from 1.
    #[error("certificate number {0} in it cannot be parsed")]
    BadCertificate(usize),
    /// No private key where one has to be.
    #[error("has no private key in it (PEM, -----BEGIN PRIVATE KEY-----){0}")]
    NoKey(&'static str),
    /// A key under a passphrase.
    #[error(
        "the private key in it is encrypted: decrypt it (openssl pkey -in FILE -out NEW), or have it written without a passphrase"
    )]
    EncryptedKey,
    /// A key of a kind that is not supported, or damaged.
    #[error("the private key in it is not of a kind that is supported (RSA, ECDSA or Ed25519)")]
    BadKey,
    /// The key of another certificate.
    #[error("the private key in it does not belong to the first certificate of --{flag} {}", path.display())]
    KeyMismatch {
        /// The flag that names the certificate's file.
        flag: &'static str,
        /// That file.
        path: PathBuf,
    },
    /// Past the end of its validity.
    #[error("the certificate in it expired at {0}")]
    Expired(Timestamp),
    /// Before its validity.
    #[error("the certificate in it is not valid before {0}")]
    NotValidYet(Timestamp),
    /// rustls does not take it, for a reason of its own.
    #[error("cannot be used: {0}")]
    Refused(String),
}

/// The content of one file, as it was read. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    flag: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// rustls's cryptography: AWS-LC, the same as towards AWS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

impl Content {
    /// Reads the file that the flag names.
    pub async fn read(flag: &'static str, path: &Path) -> Result<Self, TlsFileError> {
        match bytes(path).await {
            Ok(bytes) => Ok(Self { flag, path: path.to_owned(), bytes }),
            Err(fault) => Err(TlsFileError { flag, path: path.to_owned(), fault }),
        }
    }

    /// This fault of this file.
    pub fn fault(&self, fault: FileFault) -> TlsFileError {
        TlsFileError { flag: self.flag, path: self.path.clone(), fault }
    }

    /// The certificates in it, of which there is one at least.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let found = found.map_err(|_| self.fault(FileFault::NotPem))?;
        if found.is_empty() {
            let swapped = if self.has("PRIVATE KEY-----") { ", but a private key" } else { "" };
            return Err(self.fault(FileFault::NoCertificate(swapped)));
        }
        match found.iter().position(|found| EndEntityCert::try_from(found).is_err()) {
            Some(at) => Err(self.fault(FileFault::BadCertificate(at + 1))),
            None => Ok(found),
        }
    }

    /// The first private key in it.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, TlsFileError> {
        if self.has("ENCRYPTED") {
            return Err(self.fault(FileFault::EncryptedKey));
        }
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| {
            let swapped =
                if self.has("-----BEGIN CERTIFICATE-----") { ", but a certificate" } else { "" };
            self.fault(match error {
                PemError::NoItemsFound => FileFault::NoKey(swapped),
                _ => FileFault::NotPem,
            })
        })
    }

    /// The certificates in it as those who may sign others, and when the first of them expires.
    pub fn roots(&self) -> Result<(RootCertStore, Option<Timestamp>), TlsFileError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        let found = found.map_err(|_| self.fault(FileFault::NotPem))?;
        if found.is_empty() {
            return Err(self.fault(FileFault::NoCertificate("")));
        }
        let mut roots = RootCertStore::empty();
        let mut expires = None;
        for (at, certificate) in found.into_iter().enumerate() {
            let ends = validity(&certificate).map(|validity| validity.not_after);
            expires = expires.into_iter().chain(ends).min();
            roots.add(certificate).map_err(|_| self.fault(FileFault::BadCertificate(at + 1)))?;
        }
        Ok((roots, expires))
    }

    fn has(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|found| found == text.as_bytes())
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A certificate with its key, fit for each other and for `now`, and its validity.
pub fn identity(
    certificates: &Content,
    key: &Content,
    now: Timestamp,
) -> Result<(CertifiedKey, Validity), TlsFileError> {
    let chain = certificates.certificates()?;
    let private = key.key()?;
    let certified = CertifiedKey::from_der(chain, private, &provider());
    let certified = certified.map_err(|error| {
        key.fault(match error {
            rustls::Error::InconsistentKeys(_) => {
                FileFault::KeyMismatch { flag: certificates.flag, path: certificates.path.clone() }
            }
            _ => FileFault::BadKey,
        })
    })?;
    let valid = certified.cert.first().and_then(validity);
    let valid = valid.ok_or_else(|| certificates.fault(FileFault::BadCertificate(1)))?;
    if now < valid.not_before {
        return Err(certificates.fault(FileFault::NotValidYet(valid.not_before)));
    }
    if now > valid.not_after {
        return Err(certificates.fault(FileFault::Expired(valid.not_after)));
    }
    Ok((certified, valid))
}

async fn bytes(path: &Path) -> Result<Vec<u8>, FileFault> {
    // Before opening: a pipe would wait for its other end.
    let about = tokio::fs::metadata(path).await?;
    if !about.is_file() {
        return Err(FileFault::NoFile);
    }
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(path).await?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > MOST_BYTES { Err(FileFault::TooLarge) } else { Ok(bytes) }
}
