//! The door through which callers name streams: only here a name becomes a [`ResolvedStream`], and
//! nothing of the hub is reached with less.
//!
//! A name passes twice: as the caller gives it ([`NamedStream`], before the upstream is asked
//! anything), and again when its ARN is known ([`ResolvedStream`]). What may be reached is judged
//! at these two places and nowhere else.

use crate::model::StreamArn;

use super::discovery::listings::{ListingError, StreamLookup};
use super::stream_names::{NamedStream, ResolvedStream};

impl StreamLookup<'_> {
    /// Looks up a named stream: a table's name is its newest stream. The result is remembered for
    /// ten seconds.
    pub async fn resolve(&self, named: &NamedStream) -> Result<ResolvedStream, ListingError> {
        if let Some(permit) = self.permit() {
            permit.may_name(named.name())?;
        }
        let stream = self.arn_of(named.name()).await?;
        // Told by the name that was given: what was found by it is not for everybody.
        self.let_in(stream).map_err(|error| told_by(error, named.name().as_str()))
    }

    /// The stream that followed this one: the oldest of its table's newer streams; `None` if there
    /// is none so far.
    pub async fn next_stream(
        &self,
        after: &ResolvedStream,
    ) -> Result<Option<ResolvedStream>, ListingError> {
        let next = self.next_arn(after.arn()).await?.map(|next| self.let_in(next)).transpose();
        next.map_err(|error| told_by(error, after.arn().resource()))
    }

    /// The stream with this ARN, if the caller may reach it.
    fn let_in(&self, stream: StreamArn) -> Result<ResolvedStream, ListingError> {
        if let Some(permit) = self.permit() {
            permit.may_reach(&stream)?;
        }
        Ok(ResolvedStream::let_in(stream))
    }
}

/// The error, told by the name that the caller knows.
fn told_by(error: ListingError, name: &str) -> ListingError {
    match error {
        ListingError::NotAllowed(refused) => refused.on(name).into(),
        error => error,
    }
}
