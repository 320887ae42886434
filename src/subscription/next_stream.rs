//! The table's next stream after one that ended (`Succession`): found and listed while the
//! subscription waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::hub::discovery::{Discovery, ListingError};
use crate::hub::{Hub, NotAllowed, Outage, ResolvedStream};
use crate::model::Now;
use crate::upstream::UpstreamError;

/// How long the next stream is searched for before the client is told that this one ended.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The first and the longest pause between two searches for the next stream.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The state of the change from one stream to the table's next.
#[derive(Default)]
pub(super) struct Succession {
    /// Whether a complete listing, begun after everything was delivered, shows nothing more;
    /// `None`: not requested yet.
    listed: Option<bool>,
    begun: Option<Instant>,
    /// The search for the next stream, then its listing; kept between polls.
    work: Option<BoxFuture<'static, NextStream>>,
    /// A search was answered: there is no next stream so far.
    none_yet: bool,
    next: Option<ResolvedStream>,
    discovery: Option<Discovery>,
    told_end: bool,
    told_next: bool,
    /// The outage that prevents the search for the next stream.
    outage: Option<Arc<Outage>>,
    /// The next stream is none that the caller may read.
    forbidden: Option<NotAllowed>,
}

/// What the search or the listing found.
pub(super) enum NextStream {
    /// The ended stream was listed again: there is nothing more.
    Listed,
    /// The next stream.
    Stream(Hub, ResolvedStream),
    /// The next stream's shards are listed.
    Survey(Discovery),
    /// There is one, which the caller may not read.
    Forbidden(NotAllowed),
    /// There is none so far, and the search that continues.
    NoneYet(BoxFuture<'static, NextStream>),
    /// It is not known, the upstream's error if it is one, and the attempt that follows.
    Failed(Option<UpstreamError>, BoxFuture<'static, NextStream>),
}

impl Succession {
    /// For a client that was told before that the stream ended.
    pub(super) fn told() -> Self {
        Self { listed: Some(true), told_end: true, ..Self::default() }
    }

    /// Whether a listing shows that everything is delivered; the first call requests that listing.
    pub(super) fn is_listed(&mut self, hub: &Hub, stream: &ResolvedStream) -> bool {
        if self.listed.is_none() {
            self.listed = Some(false);
            self.work = Some(Box::pin(list_again(hub.clone(), stream.clone())));
        }
        self.listed == Some(true)
    }

    /// There is more to deliver after all: starts over.
    pub(super) fn not_yet(&mut self) {
        if !self.told_end && self.listed.is_some() {
            *self = Self::default();
        }
    }

    /// Begins the search for the next stream, unless it has begun already.
    pub(super) fn begin(&mut self, hub: &Hub, after: &ResolvedStream, now: Instant) {
        if self.begun.is_none() {
            self.begun = Some(now);
            self.work = Some(find(hub.clone(), after.clone(), Duration::ZERO));
        }
    }

    /// Resolves when the search finds something; never, if none is running. Cancel-safe: the work
    /// is kept.
    pub(super) async fn found(&mut self) -> NextStream {
        match &mut self.work {
            Some(work) => work.await,
            None => std::future::pending().await,
        }
    }

    /// Takes in what the search found.
    pub(super) fn take(&mut self, found: NextStream, now: Now) {
        self.work = None;
        let since =
            self.outage.take().map_or((now.wall, now.at), |outage| (outage.since, outage.asked));
        match found {
            NextStream::Listed => self.listed = Some(true),
            NextStream::Stream(hub, next) => {
                self.next = Some(next.clone());
                self.work = Some(list(hub, next, Duration::ZERO));
            }
            NextStream::Survey(discovery) => self.discovery = Some(discovery),
            NextStream::Forbidden(refused) => self.forbidden = Some(refused),
            NextStream::NoneYet(work) => {
                self.none_yet = true;
                self.work = Some(work);
            }
            NextStream::Failed(error, work) => {
                let (since, asked) = since;
                self.outage =
                    error.map(|error| Arc::new(Outage { since, asked, error, lasts: true }));
                self.work = Some(work);
            }
        }
    }

    /// The outage that prevents the search for the next stream, while it lasts.
    pub(super) fn outage(&self) -> Option<&Arc<Outage>> {
        self.outage.as_ref()
    }

    /// `Some` if the stream's end must be reported now, with the next stream if that is known.
    pub(super) fn take_end(
        &mut self,
        by_table: bool,
        now: Instant,
    ) -> Option<Option<ResolvedStream>> {
        if !by_table {
            return (!std::mem::replace(&mut self.told_end, true)).then_some(None);
        }
        if let Some(next) = &self.next {
            self.told_end = true;
            return (!std::mem::replace(&mut self.told_next, true)).then(|| Some(next.clone()));
        }
        // A search that failed proves nothing: the end is told once one was answered.
        let waited = self.none_yet
            && self.begun.is_some_and(|begun| now.saturating_duration_since(begun) >= PATIENCE);
        let waited = waited || self.forbidden.is_some();
        (waited && !std::mem::replace(&mut self.told_end, true)).then_some(None)
    }

    /// The next stream's discovery, once it is listed and the client was told of the stream.
    pub(super) fn surveyed(&mut self) -> Option<Discovery> {
        if self.told_next { self.discovery.take() } else { None }
    }

    /// Why the next stream is not gone on with, once the client was told that this one ended;
    /// `None`: nothing forbids it.
    pub(super) fn forbidden(&self) -> Option<&NotAllowed> {
        self.forbidden.as_ref().filter(|_| self.told_end)
    }

    /// Whether the client was told that the stream ended.
    pub(super) fn is_told(&self) -> bool {
        self.told_end
    }

    /// When the client must be told of the end although no next stream was found; `None`: not
    /// pending.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.begun.filter(|_| self.none_yet && !self.told_end).map(|begun| begun + PATIENCE)
    }
}

async fn list_again(hub: Hub, stream: ResolvedStream) -> NextStream {
    let discovery = hub.discover(&stream);
    loop {
        match discovery.ready(tokio::time::Instant::now()).await {
            Ok(()) | Err(ListingError::StreamNotFound(_)) => return NextStream::Listed,
            Err(error) => {
                tracing::debug!(%error, "the stream that seems to have ended cannot be listed; trying again")
            }
        }
        tokio::time::sleep(PAUSES.0).await;
    }
}

/// Searches once for the stream after this one, after a pause.
fn find(hub: Hub, after: ResolvedStream, pause: Duration) -> BoxFuture<'static, NextStream> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        let error = match hub.listings().running().next_stream(&after).await {
            Ok(Some(next)) => return NextStream::Stream(hub, next),
            Ok(None) => None,
            Err(ListingError::NotAllowed(refused)) => return NextStream::Forbidden(refused),
            Err(error) => Some(error),
        };
        let again = find(hub, after, (pause * 2).clamp(PAUSES.0, PAUSES.1));
        let Some(error) = error else { return NextStream::NoneYet(again) };
        tracing::warn!(%error, "the table's next stream cannot be looked for; trying again");
        NextStream::Failed(upstreams(error), again)
    })
}

/// Lists the next stream, after a pause.
fn list(hub: Hub, stream: ResolvedStream, pause: Duration) -> BoxFuture<'static, NextStream> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        let discovery = hub.discover(&stream);
        let error = match discovery.ready(tokio::time::Instant::now()).await {
            Ok(()) => return NextStream::Survey(discovery),
            Err(error) => error,
        };
        tracing::warn!(next = %stream, %error, "the table's next stream cannot be listed; trying again");
        NextStream::Failed(upstreams(error), list(hub, stream, PAUSES.0))
    })
}

/// The upstream's own error; `None` for any other listing error.
fn upstreams(error: ListingError) -> Option<UpstreamError> {
    if let ListingError::Upstream(error) = error { Some(error) } else { None }
}
