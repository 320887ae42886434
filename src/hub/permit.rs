//! What one caller may reach. Who it is and what it may do is known elsewhere; `resolver` asks.

use std::fmt;
use std::sync::Arc;

use crate::model::{StreamArn, StreamRef};

/// Asked whenever a caller's stream gets its name.
pub trait Permit: fmt::Debug + Send + Sync {
    /// Whether it may reach some stream of this name, before anything is looked up: who may not
    /// costs no call, and is not told what exists.
    fn may_name(&self, named: &StreamRef) -> Result<(), NotAllowed>;

    /// Whether it may reach this stream.
    fn may_reach(&self, stream: &StreamArn) -> Result<(), NotAllowed>;
}

/// A caller may not do this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{principal} may not {action} {stream}")]
pub struct NotAllowed {
    /// Who calls.
    pub principal: Arc<str>,
    /// What it may not do.
    pub action: &'static str,
    /// The stream, as the caller named it or as it was found by that name.
    pub stream: Arc<str>,
}

impl NotAllowed {
    /// `principal` may not take `action` on `stream`.
    pub(crate) fn of(principal: &impl fmt::Display, action: &'static str, stream: &str) -> Self {
        Self { principal: principal.to_string().into(), action, stream: stream.into() }
    }

    /// The same, of a stream by another name.
    pub(super) fn on(self, stream: &str) -> Self {
        Self { stream: stream.into(), ..self }
    }
}
