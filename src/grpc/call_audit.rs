//! What the audit log and the metrics are told of one call: whether it was let in, and what it
//! opened.

use std::sync::Arc;

use http::Extensions;

use crate::access::CredentialsError;
use crate::access::principal::Principal;
use crate::audit::Audit;
use crate::audit::event::{CallFacts, Event, Subject};
use crate::hub::{NotAllowed, ShardKey};
use crate::metrics::Metrics;
use crate::model::StreamArn;
use crate::peer_shares::{Peer, PeerShare};
use crate::session::{LeaseId, SessionEnd, SessionKeep};
use crate::traces::context::TraceContext;

/// One call; stored in the extensions of its request.
#[derive(Clone, Debug)]
pub struct CallAudit {
    audit: Audit,
    metrics: Metrics,
    peer: Option<Peer>,
    method: &'static str,
    /// Who calls; `None` where that is not known.
    who: Option<Principal>,
    /// Who its certificate says it is, where that is somebody else.
    certificate: Option<Principal>,
    /// Whether it opens something: then that it was allowed is told each time.
    opens: bool,
    /// The trace that it is of, if its client says so.
    trace: Option<TraceContext>,
}

/// A response stream that is open: dropped, it has ended.
#[derive(Debug)]
pub struct StreamAudit {
    call: Arc<CallAudit>,
    of: Subject,
    records: u64,
    bytes: u64,
    /// Why it ended; `None` while it runs.
    reason: Option<&'static str>,
}

/// What lives as long as a session: its peer's share, and what is told of its end.
#[derive(Debug)]
pub(super) struct SessionAudit {
    call: Option<Arc<CallAudit>>,
    of: Subject,
    _share: Option<PeerShare>,
}

impl CallAudit {
    /// A call of `method` from `peer`.
    pub fn new(audit: Audit, metrics: Metrics, peer: Option<Peer>, method: &'static str) -> Self {
        let (who, certificate, opens, trace) = (None, None, false, None);
        Self { audit, metrics, peer, method, who, certificate, opens, trace }
    }

    /// The same, by `who`, whose certificate says `certificate`.
    pub fn by(self, who: Option<Principal>, certificate: Option<Principal>) -> Self {
        let certificate = certificate.filter(|other| who.as_ref() != Some(other));
        Self { who, certificate, ..self }
    }

    /// The same, of a call that opens something.
    pub fn opening(self, opens: bool) -> Self {
        Self { opens, ..self }
    }

    /// The same, of a call that is part of `trace`.
    pub fn traced(self, trace: Option<TraceContext>) -> Self {
        Self { trace, ..self }
    }

    /// The call of a request; `None` without a transport.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }

    /// Its caller has shown nothing, or something that is nobody's.
    pub fn unauthenticated(&self, error: CredentialsError) {
        let (word, reason) = match error {
            CredentialsError::Missing => ("credentials_missing", "CREDENTIALS_MISSING"),
            CredentialsError::Invalid => ("credentials_invalid", "CREDENTIALS_INVALID"),
            CredentialsError::Expired => ("credentials_expired", "CREDENTIALS_EXPIRED"),
            CredentialsError::Unverifiable => {
                ("credentials_unverifiable", "CREDENTIALS_UNVERIFIABLE")
            }
        };
        self.metrics.call_denied(word);
        self.audit.tell_denial(Event::unauthenticated(&self.facts(), reason));
    }

    /// Its caller may not do this.
    pub fn denied(&self, refusal: &NotAllowed) {
        self.metrics.call_denied("not_allowed");
        self.audit.tell_denial(Event::denied(&self.facts(), refusal.action, &refusal.stream));
    }

    /// Its caller may do this, by the policy's rule of this number.
    pub fn allowed(&self, action: &'static str, stream: &StreamArn, rule: usize) {
        if self.audit.is_on() {
            let event = Event::allowed(&self.facts(), action, stream, rule);
            if self.opens { self.audit.tell(event) } else { self.audit.tell_read(event) }
        }
    }

    /// It cannot be told of, and nothing goes untold.
    pub fn untold(&self) {
        self.metrics.call_denied("audit");
    }

    /// Its caller has shown the lease of somebody else.
    pub fn foreign_lease(&self, lease: LeaseId) {
        self.metrics.call_denied("lease_of_another");
        self.audit.tell_denial(Event::foreign_lease(&self.facts(), lease.prefix()));
    }

    /// It opened a session.
    pub fn session_opened(&self, key: &ShardKey, lease: LeaseId) {
        if self.audit.is_on() {
            let opened = Event::session_opened(&self.facts(), &subject(key), lease.prefix());
            self.audit.tell(opened);
        }
    }

    /// It opened a response stream, of a shard or of all of them.
    pub fn stream_opened(call: Arc<Self>, of: Subject) -> Option<Box<StreamAudit>> {
        if !call.audit.is_on() {
            return None;
        }
        call.audit.tell(Event::stream_opened(&call.facts(), &of));
        Some(Box::new(StreamAudit { call, of, records: 0, bytes: 0, reason: None }))
    }

    fn facts(&self) -> CallFacts {
        let facts = CallFacts {
            certificate: self.certificate.as_ref().map(ToString::to_string),
            peer: self.peer.map(|peer| peer.to_string()),
            method: Some(self.method),
            trace_id: self.trace.map(|trace| trace.to_string()),
            ..CallFacts::default()
        };
        match &self.who {
            Some(who) => facts.by(who),
            None => facts,
        }
    }
}

impl StreamAudit {
    /// Counts what is sent.
    pub fn sent(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
    }

    /// It ends, for this reason.
    pub fn ends(&mut self, reason: &'static str) {
        self.reason = Some(reason);
    }
}

impl Drop for StreamAudit {
    fn drop(&mut self) {
        let sent = (self.records, self.bytes);
        let reason = match self.reason {
            Some(reason) => reason,
            None if self.call.audit.is_cutting_off() => "CUT_OFF",
            None => "CLIENT_WENT",
        };
        let ended = Event::stream_ended(&self.call.facts(), &self.of, reason, sent);
        self.call.audit.tell(ended);
    }
}

impl SessionAudit {
    /// What lives as long as the session that `call` opens on a shard.
    pub(super) fn new(
        call: Option<Arc<CallAudit>>,
        key: &ShardKey,
        share: Option<PeerShare>,
    ) -> Self {
        Self { call, of: subject(key), _share: share }
    }
}

impl SessionKeep for SessionAudit {
    fn ended(&self, lease: LeaseId, how: SessionEnd) {
        let Some(call) = self.call.as_ref().filter(|call| call.audit.is_on()) else { return };
        let reason = match how {
            SessionEnd::Closed => "CLOSED",
            SessionEnd::Expired => "EXPIRED",
        };
        let ended = Event::session_ended(&call.facts(), &self.of, lease.prefix(), reason);
        call.audit.tell(ended);
    }
}

/// What a session or a stream of one shard is of.
pub(super) fn subject(key: &ShardKey) -> Subject {
    Subject { stream: key.stream().clone(), shard: Some(key.shard().clone()) }
}
