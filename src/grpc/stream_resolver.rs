//! Where every RPC gets its stream from, however it names it: by ARN or table, by a token, or by a
//! lease. The call's span then tells the stream, and the shard if there is one.

use tracing::{Span, field};

use crate::hub::discovery::ListingError;
use crate::hub::{NamedStream, ResolvedStream, SAFE_AGE, ShardKey};
use crate::model::{Shard, StreamArn};
use crate::session::{LeaseId, LeaseNotFound, SessionGuard};
use crate::upstream::{Operation, UpstreamError};

use super::context::Context;
use super::error::CallError;
use super::request::{ReadStart, ShardRef, ShardStart};

impl Context {
    /// Looks up a stream.
    pub async fn stream(&self, named: &NamedStream) -> Result<ResolvedStream, CallError> {
        let stream = self.hub.listings().resolve(named).await?;
        tell_stream(stream.arn());
        Ok(stream)
    }

    /// Looks up a shard in its stream's listing.
    pub async fn shard(&self, named: &ShardRef) -> Result<(ShardKey, Shard), CallError> {
        let key = self.stream(&named.stream).await?.shard(named.shard.clone());
        tell_shard(&key);
        let shard = self.hub.listings().shard(&key).await?;
        Ok((key, shard))
    }

    /// Looks up the shard of a start. If a token's shard is missing from the listing, it has
    /// expired, unless it is too young for that: a listing may lag or miss a shard temporarily.
    pub async fn shard_of_start(&self, start: &ShardStart) -> Result<(ShardKey, Shard), CallError> {
        let found = self.shard(&start.named).await;
        match (found, &start.read_start) {
            (
                Err(CallError::Listing(ListingError::ShardNotFound(_, shard))),
                ReadStart::Token(checkpoint),
            ) => {
                let known = checkpoint.time.max(shard.created());
                let young = known.is_some_and(|known| self.now().wall.since(known) < SAFE_AGE);
                let lacks = "the listing lacks a shard that is too young to have expired";
                Err(match young {
                    true => CallError::Upstream(UpstreamError::nonsense(
                        Operation::DescribeStream,
                        lacks,
                    )),
                    false => CallError::ShardExpired(shard.to_string()),
                })
            }
            (found, _) => found,
        }
    }

    /// Ends the session of a lease, if it is the caller's: who may not read on may still leave.
    pub fn close_session(&self, lease: LeaseId) {
        if let Ok(visit) = self.enter(lease) {
            let key = visit.read(|session| session.key.clone());
            tell_stream(key.stream());
            tell_shard(&key);
            self.sessions.close(lease);
        }
    }

    /// Begins a call on the session of a lease, whose shard passed this door when it was opened.
    pub fn session(&self, lease: LeaseId) -> Result<SessionGuard, CallError> {
        let visit = self.enter(lease)?;
        let key = visit.read(|session| session.key.clone());
        self.hub.may_reach(key.stream())?;
        tell_stream(key.stream());
        tell_shard(&key);
        Ok(visit)
    }

    fn enter(&self, lease: LeaseId) -> Result<SessionGuard, LeaseNotFound> {
        self.sessions.enter(lease, self.principal()).inspect_err(|error| {
            if error.of_another
                && let Some(audit) = &self.audit
            {
                audit.foreign_lease(lease);
            }
        })
    }
}

fn tell_stream(stream: &StreamArn) {
    Span::current().record("stream", field::display(stream));
}

fn tell_shard(key: &ShardKey) {
    Span::current().record("shard", field::display(key.shard()));
}
