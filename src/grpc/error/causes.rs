//! What the errors of other layers are for a call.

use crate::hub::discovery::ListingError;
use crate::hub::{AnchorError, NotAllowed, TooManyShards};
use crate::session::{LeaseNotFound, Superseded, TooManySessions};
use crate::subscription::start::BeginError;
use crate::token::TokenError;

use super::CallError;

impl From<NotAllowed> for CallError {
    fn from(error: NotAllowed) -> Self {
        Self::NotAllowed(error)
    }
}

impl From<TokenError> for CallError {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<ListingError> for CallError {
    fn from(error: ListingError) -> Self {
        match error {
            ListingError::Upstream(error) => Self::Upstream(error),
            ListingError::Busy(busy) => Self::Limit("LISTING_LIMIT", busy.to_string()),
            ListingError::NotAllowed(error) => Self::NotAllowed(error),
            ListingError::StreamNotFound(_)
            | ListingError::ShardNotFound(..)
            | ListingError::NotReady(_) => Self::Listing(error),
        }
    }
}

impl From<LeaseNotFound> for CallError {
    fn from(_: LeaseNotFound) -> Self {
        Self::LeaseNotFound
    }
}

impl From<Superseded> for CallError {
    fn from(superseded: Superseded) -> Self {
        Self::Superseded(superseded)
    }
}

impl From<TooManySessions> for CallError {
    fn from(error: TooManySessions) -> Self {
        Self::Limit("SESSION_LIMIT", error.to_string())
    }
}

impl From<BeginError> for CallError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Listing(error) => error.into(),
            BeginError::Anchor(AnchorError::Full) => Self::catch_up_limit(),
            BeginError::Anchor(AnchorError::Upstream(error)) => Self::Upstream(error),
            BeginError::TooManyShards(error) => error.into(),
        }
    }
}

impl From<TooManyShards> for CallError {
    fn from(error: TooManyShards) -> Self {
        match error {
            TooManyShards::OfServer(_) => Self::Limit("SHARD_LIMIT", error.to_string()),
            TooManyShards::OfCaller(_) => Self::Limit("QUOTA_SHARDS", error.to_string()),
        }
    }
}
