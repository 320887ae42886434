//! Lookups of streams and shards, by requester: one that needs a call to the upstream waits for its
//! peer's turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::permit::Permit;
use crate::hub::stream_names::{ResolvedStream, ShardKey};
use crate::lineage;
use crate::model::{Shard, StreamArn, StreamDescription, StreamRef, StreamStatus, TableName};
use crate::upstream::{Operation, StreamsPage, UpstreamError};

use super::Listings;
use super::answers::{
    AskError, Children, Listing, ListingError, PageKey, age, are_all, newest_of, told,
};
use super::cache::{LISTING_AGE, LISTING_LIFE};
use super::queue::Requester;
use super::upstream_calls::now;

/// Looks up streams and their shards for one requester.
#[derive(Clone, Copy, Debug)]
pub struct StreamLookup<'a> {
    listings: &'a Listings,
    asker: Requester,
    /// What the caller may reach; `None`: everything.
    permit: Option<&'a dyn Permit>,
}

impl<'a> StreamLookup<'a> {
    /// The lookup on behalf of `asker`.
    pub(in crate::hub) fn new(listings: &'a Listings, asker: Requester) -> Self {
        Self { listings, asker, permit: None }
    }

    /// The same lookup for a caller who may reach only this.
    pub(in crate::hub) fn permitted(self, permit: Option<&'a dyn Permit>) -> Self {
        Self { permit, ..self }
    }

    pub(in crate::hub) fn permit(&self) -> Option<&'a dyn Permit> {
        self.permit
    }

    /// The same lookup for a running subscription, which goes first and is never refused as busy.
    pub fn running(self) -> Self {
        Self { asker: Requester::Running, ..self }
    }

    /// One page of ListStreams.
    pub async fn list_streams(
        &self,
        table: Option<&TableName>,
        start: Option<&str>,
        limit: u32,
    ) -> Result<StreamsPage, ListingError> {
        let key: PageKey = (table.cloned(), start.map(ToOwned::to_owned), limit);
        let page = self.listings.pages.join(&key, self.asker, |wanted| {
            let (calls, (table, start, limit)) = (self.listings.calls.clone(), key.clone());
            Box::pin(async move {
                calls.streams_page((table.as_ref(), start.as_deref()), limit, &wanted, false).await
            })
        });
        page.await.map_err(plainly)
    }

    /// The stream's ARN: an ARN as it is, a table's name as its newest stream. The result is
    /// remembered for ten seconds.
    pub(in crate::hub) async fn arn_of(
        &self,
        stream: &StreamRef,
    ) -> Result<StreamArn, ListingError> {
        let table = match stream {
            StreamRef::Arn(arn) => return Ok(arn.clone()),
            StreamRef::Table(table) => table,
        };
        let known = self.listings.calls.memory.lock().name(table, now());
        let newest = match known {
            Some(newest) => newest,
            None => {
                let streams = self
                    .listings
                    .streams_of(table, self.asker)
                    .await
                    .map_err(|error| told(error, table.as_str()))?;
                newest_of(&streams)
            }
        };
        newest.ok_or_else(|| ListingError::StreamNotFound(table.to_string()))
    }

    /// The stream that followed this one: the oldest of the table's newer streams; `None` if there
    /// is none.
    pub(in crate::hub) async fn next_arn(
        &self,
        after: &StreamArn,
    ) -> Result<Option<StreamArn>, ListingError> {
        let Some(table) = after.table() else { return Ok(None) };
        let streams = self.listings.streams_of(&table, self.asker).await.map_err(plainly)?;
        let newer = streams.iter().filter(|arn| age(arn) > age(after));
        Ok(newer.min_by(|a, b| age(a).cmp(&age(b))).cloned())
    }

    /// The stream's description, at most a few seconds old.
    pub async fn describe(
        &self,
        stream: &ResolvedStream,
    ) -> Result<StreamDescription, ListingError> {
        let stream = stream.arn();
        let known = self.listings.calls.memory.lock().description(stream, now());
        if let Some(description) = known {
            return Ok(description);
        }
        self.refuse_missing(stream)?;
        let (calls, of) = (self.listings.calls.clone(), stream.clone());
        let description = self
            .listings
            .descriptions
            .join(stream, self.asker, |wanted| Box::pin(calls.clone().describe(of.clone(), wanted)))
            .await;
        description.map_err(|error| told(error, stream.as_str()))
    }

    /// The whole listing of a stream: one in flight, one from a few seconds ago, or a new one.
    pub async fn listing(&self, stream: &ResolvedStream) -> Result<Arc<Listing>, ListingError> {
        self.listing_within(stream.arn(), LISTING_AGE).await
    }

    /// The whole listing, to continue a walk with: one from a minute ago will do.
    pub async fn same_listing(
        &self,
        stream: &ResolvedStream,
    ) -> Result<Arc<Listing>, ListingError> {
        self.listing_within(stream.arn(), LISTING_LIFE).await
    }

    async fn listing_within(
        &self,
        stream: &StreamArn,
        age: Duration,
    ) -> Result<Arc<Listing>, ListingError> {
        let known = self.listings.calls.memory.lock().listing_within(stream, age, now());
        if let Some(listing) = known {
            return Ok(listing);
        }
        self.refuse_missing(stream)?;
        self.new_listing(stream).await
    }

    /// A whole listing that is in flight or begins now.
    async fn new_listing(&self, stream: &StreamArn) -> Result<Arc<Listing>, ListingError> {
        self.listings
            .join_listing(stream, self.asker)
            .await
            .map_err(|error| told(error, stream.as_str()))
    }

    /// The shard as listed: from the cache, else from a listing new enough to show it.
    pub async fn shard(&self, key: &ShardKey) -> Result<Shard, ListingError> {
        let (stream, id) = (&key.stream, &key.shard);
        let missing = || ListingError::ShardNotFound(stream.clone(), id.clone());
        {
            let memory = self.listings.calls.memory.lock();
            if let Some(shard) = memory.shard(stream, id, now()) {
                return Ok(shard);
            }
            if memory.is_shard_missing(stream, id, now()) {
                return Err(missing());
            }
        }
        let asked = Instant::now();
        let mut listing = self.listing_within(stream, LISTING_AGE).await?;
        while listing.find(id).is_none()
            && listing.begun < asked
            && self.listings.may_be_younger(id, &listing)
        {
            listing = self.new_listing(stream).await?;
        }
        match listing.find(id) {
            Some(shard) => Ok(shard.clone()),
            None if listing.description.status == Some(StreamStatus::Enabling) => {
                Err(ListingError::NotReady(stream.clone()))
            }
            None if listing.unreadable > 0 => {
                let why = "the listing lacks the shard, but one of its rows cannot be understood";
                Err(UpstreamError::nonsense(Operation::DescribeStream, why).into())
            }
            None => {
                self.listings.calls.memory.lock().lacks_shard(stream, id, now());
                Err(missing())
            }
        }
    }

    /// Waits until a shard of the stream that no listing shows may be tried. Cancel-safe: a dropped
    /// call has used no turn.
    pub async fn turn_to_try(&self, stream: &ResolvedStream) {
        self.listings.turn_to_try(stream.arn(), self.asker).await;
    }

    /// The shard's children: from CHILD_SHARDS where the upstream knows it, and from a full listing
    /// where that may not be all.
    pub async fn children(&self, key: &ShardKey) -> Result<Children, ListingError> {
        let (stream, id) = (&key.stream, &key.shard);
        let asked = Instant::now();
        let mut known: Vec<Shard> = Vec::new();
        let (mut closed, mut filtered) = (false, false);
        if self.listings.calls.upstream.traits().child_shards {
            self.refuse_missing(stream)?;
            let told = self
                .listings
                .lookup(stream, id, self.asker)
                .await
                .map_err(|error| told(error, stream.as_str()))?;
            closed = told.shards.iter().any(|shard| shard.id == *id && shard.is_closed());
            let rows = told.shards.iter().filter(|shard| shard.parent.as_ref() == Some(id));
            lineage::merge(&mut known, rows.cloned());
            filtered = !known.is_empty() && told.shards.len() <= known.len() + 1;
        }
        let seen_closed = self.listings.calls.memory.lock().closed(stream, id).is_some();
        if are_all(stream, &known) && (closed || seen_closed) {
            return Ok(Children::new(known, true));
        }
        // Where the filter works, its response is newer than any listing; elsewhere only a new
        // listing shows what is new.
        let mut listing = self.listing_within(stream, LISTING_AGE).await?;
        while !filtered && listing.begun < asked {
            listing = self.new_listing(stream).await?;
        }
        let before = known.len();
        let rows = listing.shards.iter().filter(|shard| shard.parent.as_ref() == Some(id));
        lineage::merge(&mut known, rows.cloned());
        let same = before == 0 || known.len() == before;
        // A row that cannot be parsed may be a child.
        let closed = listing.find(id).is_none_or(Shard::is_closed);
        let over = self.listings.bears_no_more(stream, id, &listing, closed && same)
            && listing.unreadable == 0;
        let complete = (closed && are_all(stream, &known)) || over;
        Ok(Children::new(known, complete))
    }

    /// Fails if the stream was not found a few seconds ago, without a new request.
    fn refuse_missing(&self, stream: &StreamArn) -> Result<(), ListingError> {
        match self.listings.calls.memory.lock().is_missing(stream, now()) {
            true => Err(ListingError::StreamNotFound(stream.to_string())),
            false => Ok(()),
        }
    }
}

/// For calls that are not about one stream: not found stays an upstream error.
fn plainly(error: AskError) -> ListingError {
    match error {
        AskError::Busy(busy) => ListingError::Busy(busy),
        AskError::Upstream(error) => ListingError::Upstream(error),
    }
}
