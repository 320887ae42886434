//! TLS: certificates and keys are read from files, checked, and made into what rustls serves and
//! connects with. The server's are read again while it runs.

pub mod client;
pub mod files;
pub mod peer;
pub mod server;
mod validity;

pub use client::ClientTls;
pub use files::TlsFileError;
pub use peer::PeerCertificates;
pub use server::ServerTls;
