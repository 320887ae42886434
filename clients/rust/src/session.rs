//! Sessions: cursors that the server keeps.

use std::time::SystemTime;

use crate::client::{Client, Read, SEEK_TIMEOUT, records, shards_of};
use crate::error::Error;
use crate::following::{Source, Start, jump_start};
use crate::record::Batch;
use crate::subscription::SubscriptionBuilder;
use crate::v1::{self, get_records_request, seek_to_request};

/// A cursor on one shard that the server keeps under a lease, renewed by every call. Dropping it
/// does not end it: [`Session::close`] does, and else its lease runs out.
#[derive(Clone)]
pub struct Session {
    client: Client,
    /// Where the session stood at the last call that says it.
    pub state: v1::ShardSession,
}

impl Session {
    pub(crate) fn new(client: Client, state: v1::ShardSession) -> Self {
        Self { client, state }
    }

    /// Names the session.
    pub fn lease_id(&self) -> &str {
        self.state.lease.as_ref().map_or("", |lease| &lease.lease_id)
    }

    /// The next records. If the answer is lost on its way the same records come again, none is
    /// skipped.
    ///
    /// # Errors
    /// Those of any call; records that are gone, with the token behind them.
    pub async fn read(&self, read: Read) -> Result<Batch, Error> {
        self.client.read(get_records_request::Source::LeaseId(self.lease_id().into()), read).await
    }

    /// Moves to a position.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn jump(&mut self, start: &Start) -> Result<(), Error> {
        let lease_id = self.lease_id().to_owned();
        let request = v1::JumpToRequest { lease_id, start: jump_start(start) };
        let answer = self.client.unary(
            "ShardService/JumpTo",
            SEEK_TIMEOUT,
            request,
            |channel, request| async { shards_of(channel).jump_to(request).await },
        );
        self.state = answer.await?.session.unwrap_or_default();
        Ok(())
    }

    /// The first records made at or after a time; the session stands after them.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn seek(&mut self, time: SystemTime) -> Result<Batch, Error> {
        let request = v1::SeekToRequest {
            target: Some(seek_to_request::Target::LeaseId(self.lease_id().into())),
            time: Some(time.into()),
            ..Default::default()
        };
        let answer = self.client.unary(
            "ShardService/SeekTo",
            SEEK_TIMEOUT,
            request,
            |channel, request| async { shards_of(channel).seek_to(request).await },
        );
        let answer = answer.await?;
        let outcome = answer.outcome();
        self.state = answer.session.unwrap_or_default();
        Ok(Batch {
            records: records(answer.records, &self.state.shard_id),
            token: answer.token,
            exhausted: outcome == v1::SeekOutcome::ShardEnded,
            at_tip: outcome == v1::SeekOutcome::AtTip,
            unreadable: Vec::new(),
        })
    }

    /// The records from where the session stands, as they arrive.
    pub fn stream(&self) -> SubscriptionBuilder {
        SubscriptionBuilder::new(&self.client, Source::Lease(self.lease_id().to_owned()))
    }

    /// Where the session stands now.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn refresh(&mut self) -> Result<&v1::ShardSession, Error> {
        let request = v1::GetShardSessionRequest { lease_id: self.lease_id().to_owned() };
        let answer = self.client.unary(
            "ShardService/GetShardSession",
            SEEK_TIMEOUT,
            request,
            |channel, request| async { shards_of(channel).get_shard_session(request).await },
        );
        self.state = answer.await?.session.unwrap_or_default();
        Ok(&self.state)
    }

    /// Renews the lease and does nothing else.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn renew(&self) -> Result<(), Error> {
        let request = v1::RenewLeaseRequest { lease_id: self.lease_id().to_owned() };
        let answer = self.client.unary(
            "ShardService/RenewLease",
            SEEK_TIMEOUT,
            request,
            |channel, request| async { shards_of(channel).renew_lease(request).await },
        );
        answer.await.map(drop)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn close(self) -> Result<(), Error> {
        let request = v1::CloseShardRequest { lease_id: self.lease_id().to_owned() };
        let answer = self.client.unary(
            "ShardService/CloseShard",
            SEEK_TIMEOUT,
            request,
            |channel, request| async { shards_of(channel).close_shard(request).await },
        );
        answer.await.map(drop)
    }
}
