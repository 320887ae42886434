//! TLS: certificates and keys are read from files, checked, and made into what rustls serves and
//! connects with. The server's are read again while it runs.

pub mod certificates;
pub mod client;
pub mod peer;
pub mod server;
mod validity;

pub use certificates::TlsFileError;
pub use client::ClientTls;
pub use peer::PeerCertificates;
pub use server::ServerTls;
