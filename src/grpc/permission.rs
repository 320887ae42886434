//! What the caller of one call may reach: asked where streams get their names.

use std::sync::Arc;

use http::Extensions;
use parking_lot::Mutex;

use crate::access::current::CurrentAccess;
use crate::access::principal::Principal;
use crate::access::rpc_actions::{Action, Needs};
use crate::access::{Access, Identity};
use crate::clock::Clock;
use crate::hub::{NotAllowed, Permit};
use crate::model::{StreamArn, StreamRef, Timestamp};

/// Who makes a call, and what the call needs; stored in the extensions of its request.
#[derive(Debug)]
pub struct Permission {
    identity: Identity,
    needs: Needs,
    access: CurrentAccess,
    clock: Clock,
    /// What the call was let in to, so that it can be judged again.
    admitted: Mutex<Vec<StreamArn>>,
    /// What was in force when the call was last judged as a whole.
    judged_by: Mutex<Arc<Access>>,
}

impl Permission {
    /// The permission of a caller for a call.
    /// `by`: what was in force when the caller was identified.
    pub fn new(
        identity: Identity,
        needs: Needs,
        access: CurrentAccess,
        by: Arc<Access>,
        clock: Clock,
    ) -> Self {
        let judged_by = Mutex::new(by);
        Self { identity, needs, access, clock, admitted: Mutex::default(), judged_by }
    }

    /// The permission of a request; `None` if everybody may do everything.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }

    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.identity.principal
    }

    /// When the caller's proof expires; `None`: never.
    pub fn expires(&self) -> Option<Timestamp> {
        self.identity.expires
    }

    /// Resolves when the call would not be let in any more: its caller is unknown by now, or may
    /// not reach what it reads. Cancel-safe.
    pub async fn revoked(&self) {
        // First, so that no change is missed between the two.
        let mut changes = self.access.changes();
        while self.holds() {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn holds(&self) -> bool {
        let current = self.access.load();
        let mut judged_by = self.judged_by.lock();
        if !Arc::ptr_eq(&current, &judged_by) {
            let reaches = |stream: &StreamArn| self.may_reach(stream).is_ok();
            let admitted = self.admitted.lock().clone();
            if !current.knows(&self.identity, self.clock.now().wall)
                || !(current.is_open() || admitted.iter().all(reaches))
            {
                return false;
            }
            *judged_by = current;
        }
        true
    }

    /// Refuses a caller who may take the call's action on no stream at all.
    pub fn may_take_it_anywhere(&self) -> Result<(), NotAllowed> {
        self.judge("*", |action| self.access.load().policy().grants(self.principal(), action))
    }

    /// Judges what the call needs of the stream named `name`.
    fn judge(&self, name: &str, allows: impl Fn(Action) -> bool) -> Result<(), NotAllowed> {
        let action = match self.needs {
            Needs::Action(action) | Needs::Each(action) => action,
            // The lease was given to this caller for a stream that it might read.
            Needs::Lease => Action::Read,
            Needs::Caller | Needs::Nothing => {
                return Err(NotAllowed::of(self.principal(), "reach", name));
            }
        };
        match allows(action) {
            true => Ok(()),
            false => Err(NotAllowed::of(self.principal(), action.name(), name)),
        }
    }
}

impl Permit for Permission {
    fn may_name(&self, named: &StreamRef) -> Result<(), NotAllowed> {
        match named {
            StreamRef::Arn(stream) => self.may_reach(stream),
            StreamRef::Table(table) => self.judge(table.as_str(), |action| {
                self.access.load().policy().may_allow(self.principal(), action, table)
            }),
        }
    }

    fn may_reach(&self, stream: &StreamArn) -> Result<(), NotAllowed> {
        self.judge(stream.as_str(), |action| {
            self.access.load().policy().allows(self.principal(), action, stream)
        })?;
        // A call that tells of each of many streams is over before it would be judged again.
        if !matches!(self.needs, Needs::Each(_)) {
            let mut admitted = self.admitted.lock();
            if !admitted.contains(stream) {
                admitted.push(stream.clone());
            }
        }
        Ok(())
    }
}
