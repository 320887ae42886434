//! What the caller of one call may reach: asked where streams get their names.

use std::sync::Arc;

use http::Extensions;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::access::current::CurrentAccess;
use crate::access::principal::Principal;
use crate::access::rpc_actions::{Action, Needs};
use crate::access::{Access, CredentialsError, Identity};
use crate::clock::{Clock, sleep_until};
use crate::hub::{NotAllowed, Permit};
use crate::model::{Now, StreamArn, StreamRef, Timestamp};

use super::error::CallError;

use super::call_audit::CallAudit;

/// Who makes a call, and what the call needs; stored in the extensions of its request.
#[derive(Debug)]
pub struct Permission {
    identity: Identity,
    needs: Needs,
    access: CurrentAccess,
    clock: Clock,
    /// When it began.
    begun: Now,
    /// What the call was let in to, so that it can be judged again.
    admitted: Mutex<Vec<StreamArn>>,
    /// What was in force when the call was last judged as a whole.
    judged_by: Mutex<Arc<Access>>,
    /// Told of what is allowed, and what is not.
    audit: Option<Arc<CallAudit>>,
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
        let (begun, judged_by) = (clock.now(), Mutex::new(by));
        let admitted = Mutex::default();
        Self { identity, needs, access, clock, begun, admitted, judged_by, audit: None }
    }

    /// The same; `audit` is told of what is allowed, and what is not.
    pub fn told_to(self, audit: Arc<CallAudit>) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// The permission of a request; `None` if everybody may do everything.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }

    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.identity.principal
    }

    /// Resolves when the call would not be let in any more, with why not: its caller's credentials
    /// have expired or are nobody's by now, or it may not reach what it reads. Cancel-safe.
    pub async fn lost(&self) -> CallError {
        // First, so that no change is missed between the two.
        let mut changes = self.access.changes();
        loop {
            let expires = match self.judge_again() {
                Ok(expires) => expires,
                Err(error) => return error,
            };
            let Now { at, wall } = self.begun;
            let left = expires.map(|expires| Instant::from_std(at) + expires.since(wall));
            // Both are cancel-safe: a timer, and a change that is noted until it is seen.
            tokio::select! {
                biased;
                () = sleep_until(left) => {
                    let accepts = self.access.load().accepts();
                    return CallError::Credentials(CredentialsError::Expired, accepts);
                }
                changed = changes.changed() => changed.expect("the sender is held here"),
            }
        }
    }

    /// Until when the caller's credentials hold, where the call would still be let in.
    fn judge_again(&self) -> Result<Option<Timestamp>, CallError> {
        let current = self.access.load();
        let expires = current.standing(&self.identity, self.clock.now().wall);
        let expires = expires.map_err(|error| CallError::Credentials(error, current.accepts()))?;
        let mut judged_by = self.judged_by.lock();
        if !Arc::ptr_eq(&current, &judged_by) {
            let admitted = self.admitted.lock().clone();
            if !current.is_open() {
                admitted.iter().try_for_each(|stream| self.may_reach(stream))?;
            }
            *judged_by = current;
        }
        Ok(expires)
    }

    /// Refuses a caller who may take the call's action on no stream at all.
    pub fn may_take_it_anywhere(&self) -> Result<(), NotAllowed> {
        let grants =
            |action| self.access.load().policy().grants(self.principal(), action).then_some(());
        let judged = self.judge("*", grants).map(|_| ());
        judged.inspect_err(|refusal| self.tell(|audit| audit.denied(refusal)))
    }

    /// Judges what the call needs of the stream named `name`. Answers the action, and what `allows`
    /// says of it.
    fn judge<T>(
        &self,
        name: &str,
        allows: impl Fn(Action) -> Option<T>,
    ) -> Result<(Action, T), NotAllowed> {
        let action = match self.needs {
            Needs::Action(action) | Needs::Each(action) => action,
            // The lease was given to this caller for a stream that it might read.
            Needs::Lease => Action::Read,
            Needs::Caller | Needs::Nothing => {
                return Err(NotAllowed::of(self.principal(), "reach", name));
            }
        };
        let refused = || NotAllowed::of(self.principal(), action.name(), name);
        allows(action).map(|by| (action, by)).ok_or_else(refused)
    }

    fn tell(&self, what: impl FnOnce(&CallAudit)) {
        if let Some(audit) = &self.audit {
            what(audit);
        }
    }
}

impl Permit for Permission {
    fn may_name(&self, named: &StreamRef) -> Result<(), NotAllowed> {
        let table = match named {
            StreamRef::Arn(stream) => return self.may_reach(stream),
            StreamRef::Table(table) => table,
        };
        let may = |action| {
            self.access.load().policy().may_allow(self.principal(), action, table).then_some(())
        };
        let judged = self.judge(table.as_str(), may);
        judged.map(|_| ()).inspect_err(|refusal| self.tell(|audit| audit.denied(refusal)))
    }

    fn may_reach(&self, stream: &StreamArn) -> Result<(), NotAllowed> {
        let rule = |action| self.access.load().policy().rule(self.principal(), action, stream);
        let judged = self.judge(stream.as_str(), rule);
        // A call that tells of each of many streams leaves out those that it may not; and it is over
        // before it would be judged again.
        if matches!(self.needs, Needs::Each(_)) {
            return judged.map(|_| ());
        }
        let judged = judged.inspect_err(|refusal| self.tell(|audit| audit.denied(refusal)));
        let (action, rule) = judged?;
        let mut admitted = self.admitted.lock();
        if !admitted.contains(stream) {
            admitted.push(stream.clone());
            // Of a lease it was told when that was given.
            if !matches!(self.needs, Needs::Lease) {
                self.tell(|audit| audit.allowed(action.name(), stream, rule));
            }
        }
        Ok(())
    }
}
