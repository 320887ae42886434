//! Whether a call would be let in still: its caller's credentials hold, and so does what it may
//! reach. For calls that last.

use std::sync::Arc;

use http::Extensions;
use tokio::sync::watch;

use crate::access::CredentialsError;

use super::callers::Caller;
use super::error::CallError;
use super::permission::Permission;

/// Whether what a client has shown by TLS holds; once it does not, why.
pub type CertificateStanding = watch::Receiver<Option<CredentialsError>>;

/// What one call was let in by. A cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// `None` if everybody may do everything.
    permission: Option<Arc<Permission>>,
    /// `None` if the client has shown nothing by TLS.
    certificate: Option<CertificateStanding>,
}

impl Standing {
    /// That of a request.
    pub fn of(extensions: &Extensions) -> Self {
        let certificate = Caller::of(extensions).and_then(Caller::certificate_standing);
        Self { permission: Permission::of(extensions).cloned(), certificate: certificate.cloned() }
    }

    /// Who makes the call and what it may reach; `None` if everybody may do everything.
    pub fn permission(&self) -> Option<&Arc<Permission>> {
        self.permission.as_ref()
    }

    /// Whether nothing can end it.
    pub fn is_lasting(&self) -> bool {
        self.permission.is_none() && self.certificate.is_none()
    }

    /// Resolves when the call would not be let in any more, with why not. Cancel-safe.
    pub async fn lost(&self) -> CallError {
        let permission = async {
            match &self.permission {
                Some(permission) => permission.lost().await,
                None => std::future::pending().await,
            }
        };
        let certificate = async {
            let Some(mut standing) = self.certificate.clone() else {
                return std::future::pending().await;
            };
            match standing.wait_for(Option::is_some).await.map(|lost| *lost) {
                Ok(Some(error)) => error,
                // The connection is over.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        };
        // Both are cancel-safe: they are judged anew each time.
        tokio::select! {
            biased;
            error = permission => error,
            error = certificate => CallError::Credentials(error, "mtls"),
        }
    }
}
