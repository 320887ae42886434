//! What the caller of one call may reach: asked where streams get their names.

use std::sync::Arc;

use http::Extensions;

use crate::access::action::{Action, Needs};
use crate::access::principal::Principal;
use crate::access::{Access, Identity};
use crate::hub::{NotAllowed, Permit};
use crate::model::{StreamArn, StreamRef, Timestamp};

/// Who makes a call, and what the call needs; stored in the extensions of its request.
#[derive(Debug)]
pub struct Permission {
    identity: Identity,
    needs: Needs,
    access: Arc<Access>,
}

impl Permission {
    /// The permission of a caller for a call.
    pub fn new(identity: Identity, needs: Needs, access: Arc<Access>) -> Self {
        Self { identity, needs, access }
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

    /// Refuses a caller who may take the call's action on no stream at all.
    pub fn may_take_it_anywhere(&self) -> Result<(), NotAllowed> {
        self.judge("*", |action| self.access.policy().grants(self.principal(), action))
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
                self.access.policy().may_allow(self.principal(), action, table)
            }),
        }
    }

    fn may_reach(&self, stream: &StreamArn) -> Result<(), NotAllowed> {
        self.judge(stream.as_str(), |action| {
            self.access.policy().allows(self.principal(), action, stream)
        })
    }
}
