//! What all response streams with records have in common: their options, what ends them besides what they read, what happens
//! when one of them faults, and how their messages become bytes.

pub mod body;
pub mod life;
pub mod messages;
pub mod options;

use tonic::Status;

use crate::pb;

use super::refusal::Refusal;

/// A response stream as a state that is asked for one message after the other.
pub trait Steps: Send + Sized + 'static {
    /// What it sends.
    type Message: Send + 'static;

    /// The next message, and the state to ask again; `None` when all is said. Boxed, because a future keeps whatever is moved
    /// into it more than once, and thousands of streams keep this one while they wait.
    fn step(self: Box<Self>) -> impl Future<Output = Step<Self>> + Send;
}

/// What comes of asking a stream for its next message.
pub type Step<S> = Option<(Result<<S as Steps>::Message, Status>, Box<S>)>;

/// How a stream of records ends: kept in a box, for it is large and comes once.
#[derive(Debug)]
pub struct Ending {
    /// Why.
    pub reason: pb::EndReason,
    /// What its status will be, unless it is OK.
    pub refusal: Option<Refusal>,
    /// For people.
    pub detail: String,
}

impl Ending {
    /// An end for `reason`; `detail` is for people.
    pub fn of(reason: pb::EndReason, refusal: Option<Refusal>, detail: &str) -> Box<Self> {
        Box::new(Self { reason, refusal, detail: detail.to_owned() })
    }
}
