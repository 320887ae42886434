//! The caller of a request (the peer of its connection) and its share of the server's limits on
//! calls, streams and sessions.

mod accounts;

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http::Extensions;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::access::principal::Principal;
use crate::access::quota::Quota;
use crate::access::{Certificate, ConnectionProof};
use crate::held_bytes::HeldBytes;
use crate::hub::CallerUse;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::peer_shares::{Peer, PeerShare, PeerShares, ShareRefusal};
use crate::tls::PeerCertificates;

use super::call_rates::CallRates;
use super::error::CallError;
use super::standing::CertificateStanding;

use accounts::Accounts;

/// Reflection streams open at one time. Their responses are hundreds of times larger than the
/// requests.
const REFLECTIONS: usize = 16;

/// Watches of the health service open at one time.
const HEALTH_WATCHES: usize = 1_024;

/// The limits that all callers share.
#[derive(Debug)]
pub struct Callers {
    calls: PeerShares,
    streams: PeerShares,
    sessions: PeerShares,
    reflections: PeerShares,
    health_watches: PeerShares,
    rates: Mutex<CallRates>,
    /// Connections by who has called by them. Their number has its limit where they are accepted.
    connections: PeerShares,
    accounts: Accounts,
    held: HeldBytes,
    metrics: Metrics,
}

/// One caller; stored in the extensions of its requests.
#[derive(Clone, Debug)]
pub struct Caller {
    peer: Peer,
    callers: Arc<Callers>,
    /// What its connection has shown by TLS; `None` without a certificate.
    certificate: Option<Arc<Certificate>>,
    /// Whether that holds; `None` without one.
    certificate_standing: Option<CertificateStanding>,
    /// Cancelled when its calls are to end: the server drains, or its connection is too old. `None`
    /// without a connection.
    ending: Option<CancellationToken>,
    /// How much it may take; `None` where it is not known who it is.
    quota: Option<Quota>,
    /// What it reads and has not taken; `None` where it is not known who it is.
    used: Option<Arc<CallerUse>>,
    connection: Arc<ConnectionCallers>,
}

/// Who has called by one connection: it counts for each of them until it ends.
#[derive(Debug, Default)]
struct ConnectionCallers(Mutex<HashMap<Peer, PeerShare>>);

/// Something that is kept until a response's last byte is sent; stored in its extensions.
#[derive(Clone)]
pub struct UntilSent(Arc<dyn Any + Send + Sync>);

/// Which limit a response stream counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// A stream of our own services.
    Ours,
    /// A watch of the health service.
    Health,
    /// A reflection stream.
    Reflection,
}

impl Callers {
    /// No callers yet.
    pub fn new(limits: &Limits, held: HeldBytes, metrics: Metrics) -> Self {
        Self {
            calls: PeerShares::of(limits.transport.calls),
            streams: PeerShares::of(limits.streams.streams),
            sessions: PeerShares::of(limits.sessions.sessions),
            reflections: PeerShares::of(REFLECTIONS),
            health_watches: PeerShares::of(HEALTH_WATCHES),
            rates: Mutex::default(),
            connections: PeerShares::of(usize::MAX),
            accounts: Accounts::default(),
            held,
            metrics,
        }
    }

    /// The pool of bytes held for all callers.
    pub fn held(&self) -> &HeldBytes {
        &self.held
    }

    fn refuse(&self, what: &'static str) -> CallError {
        self.metrics.limit_rejection("peer");
        CallError::PeerLimit(what)
    }
}

impl Caller {
    /// The caller at `peer`.
    pub fn new(peer: Peer, callers: Arc<Callers>) -> Self {
        Self {
            peer,
            callers,
            certificate: None,
            certificate_standing: None,
            ending: None,
            quota: None,
            used: None,
            connection: Arc::default(),
        }
    }

    /// The caller, whose calls are to end when `ending` is cancelled.
    pub fn until(self, ending: CancellationToken) -> Self {
        Self { ending: Some(ending), ..self }
    }

    /// The caller, who has shown these certificates, verified, and whether they hold.
    pub fn with_certificates(
        self,
        certificates: Option<&PeerCertificates>,
        standing: CertificateStanding,
    ) -> Self {
        let certificate_standing = certificates.map(|_| standing);
        let certificate = certificates.map(|certificates| {
            Arc::new(Certificate {
                uris: certificates.uris(),
                dns_names: certificates.dns_names(),
                expires: certificates.expires(),
            })
        });
        Self { certificate, certificate_standing, ..self }
    }

    /// The caller is this principal: what it takes counts for it, by whatever connections it comes,
    /// and not for the address. Refused where it has called by as many other connections as it may
    /// have.
    pub fn known_as(&mut self, principal: &Principal, quota: Quota) -> Result<(), CallError> {
        (self.peer, self.quota) = (Peer::known(principal), Some(quota));
        let mut known = self.connection.0.lock();
        if !known.contains_key(&self.peer) {
            let over = |why| CallError::Limit("QUOTA_CONNECTIONS", why);
            let (shares, most) = (&self.callers.connections, Some(quota.connections));
            known.extend(
                self.guarded_elsewhere(shares, most, "connections", over)?
                    .map(|share| (self.peer, share)),
            );
        }
        drop(known);
        self.used = Some(self.callers.accounts.of(self.peer, &quota));
        Ok(())
    }

    /// What it reads and has not taken; `None` where it is not known who it is.
    pub fn used(&self) -> Option<&Arc<CallerUse>> {
        self.used.as_ref()
    }

    /// The refusal of an answer while there are as many bytes that it has not taken as it may have.
    pub fn unread_limit(&self) -> CallError {
        self.callers.metrics.limit_rejection("quota");
        let why = "you do not take your answers: as much waits for you as your quota lets";
        CallError::Limit("QUOTA_BYTES", why.into())
    }

    /// What its connection proves of it, as long as it is not [known](Self::known_as).
    pub fn proof(&self) -> ConnectionProof<'_> {
        match (self.peer.uid(), &self.certificate) {
            (Some(uid), _) => ConnectionProof::User(uid),
            (None, Some(certificate)) => ConnectionProof::Certificate(certificate),
            (None, None) => ConnectionProof::Nothing,
        }
    }

    /// Whether what its certificate says holds; `None` without one.
    pub fn certificate_standing(&self) -> Option<&CertificateStanding> {
        self.certificate_standing.as_ref()
    }

    /// The caller of a request, from its extensions; `None` without a transport.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Cancelled when its calls are to end; `None` without a connection.
    pub fn ending(&self) -> Option<&CancellationToken> {
        self.ending.as_ref()
    }

    /// Whom its share counts for: its principal, or else the address that it calls from.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Takes the share of one more call.
    pub fn call(&self, now: Instant) -> Result<PeerShare, CallError> {
        if let Some(quota) = &self.quota
            && let Err(wait) = self.callers.rates.lock().spend(self.peer, quota, now)
        {
            self.callers.metrics.limit_rejection("quota");
            return Err(CallError::Pace(wait));
        }
        self.callers.calls.take(self.peer).map_err(|over| match over {
            ShareRefusal::Peer | ShareRefusal::Quota => self.callers.refuse("calls"),
            ShareRefusal::All => {
                self.callers.metrics.limit_rejection("calls");
                CallError::Limit(
                    "CALL_LIMIT",
                    "as many calls are under way as this server takes".into(),
                )
            }
        })
    }

    /// Takes the share of one more session; `None` when the total is reached, which the session
    /// table refuses itself.
    pub fn session(&self) -> Result<Option<PeerShare>, CallError> {
        let quota = self.quota.map(|quota| quota.sessions);
        let over = |why| CallError::Limit("QUOTA_SESSIONS", why);
        self.guarded_elsewhere(&self.callers.sessions, quota, "sessions", over)
    }

    /// Takes the share of one more response stream; `None` when the total of our own streams is
    /// reached, which `Context::stream_permit` refuses itself.
    pub fn stream(&self, streaming: Streaming) -> Result<Option<UntilSent>, CallError> {
        let (shares, what, many) = match streaming {
            Streaming::Ours => {
                let quota = self.quota.map(|quota| quota.streams);
                let over = |why| CallError::Limit("QUOTA_STREAMS", why);
                let shares = &self.callers.streams;
                let share = self.guarded_elsewhere(shares, quota, "streams", over)?;
                return Ok(share.map(UntilSent::new));
            }
            Streaming::Health => (&self.callers.health_watches, "health watches", HEALTH_WATCHES),
            Streaming::Reflection => (&self.callers.reflections, "reflection streams", REFLECTIONS),
        };
        match shares.take(self.peer) {
            Ok(share) => Ok(Some(UntilSent::new(share))),
            Err(ShareRefusal::Peer | ShareRefusal::Quota) => Err(self.callers.refuse(what)),
            Err(ShareRefusal::All) => {
                self.callers.metrics.limit_rejection("streams");
                Err(CallError::Limit(
                    "STREAM_LIMIT",
                    format!("{many} {what} are open, which is the limit"),
                ))
            }
        }
    }

    /// Takes from `shares`, refusing only a peer over its share; `None` when the total is reached:
    /// the owner of that limit refuses it.
    fn guarded_elsewhere(
        &self,
        shares: &PeerShares,
        quota: Option<usize>,
        what: &'static str,
        over: impl Fn(String) -> CallError,
    ) -> Result<Option<PeerShare>, CallError> {
        let most = quota.unwrap_or(usize::MAX);
        match shares.take_within(self.peer, most) {
            Ok(share) => Ok(Some(share)),
            Err(ShareRefusal::Quota) => {
                self.callers.metrics.limit_rejection("quota");
                Err(over(format!("you have {most} {what} open, which is your quota")))
            }
            Err(ShareRefusal::All) => Ok(None),
            Err(ShareRefusal::Peer) => Err(self.callers.refuse(what)),
        }
    }
}

impl UntilSent {
    /// Keeps `kept` until the response is sent.
    pub fn new(kept: impl Any + Send + Sync) -> Self {
        Self(Arc::new(kept))
    }
}

impl std::fmt::Debug for UntilSent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UntilSent").field(&Arc::strong_count(&self.0)).finish()
    }
}
