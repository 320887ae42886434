//! Reads for unary RPCs: moves a cursor forward until the response is full, the shard ends, or
//! nothing more is worth waiting for.

use bytes::Bytes;
use tokio::time::Instant;

use crate::encode::{Chunk, ReadLimit};
use crate::hub::shard::tip::EMPTIES_TO_TIP;
use crate::hub::{
    AnchorError, BadRecord, Cursor, Gap, Pending, Polled, ReadPosition, ShardKey, WaitFor,
};
use crate::model::{SequenceNumber, Timestamp};

use super::super::error::CallError;
use super::super::wire;

/// The limits of a read: how much it may return and how long it may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnaryRead {
    /// The most records; at least 1.
    pub records: usize,
    /// The most bytes of records; one record always fits.
    pub bytes: usize,
    /// Whether unreadable records are skipped, and listed in the response.
    pub skip_unreadable: bool,
    /// What to wait for while there are no records.
    pub patience: ReadUntil,
    /// When to stop waiting.
    pub until: Instant,
}

/// When a read without records stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadUntil {
    /// After a few empty upstream responses, or at the tip.
    FewResponses,
    /// When the first entry arrives.
    FirstRecord,
    /// At the tip.
    Tip,
}

/// The outcome of a read.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    /// Encoded records, in order; each slice holds whole records.
    pub slices: Vec<Bytes>,
    /// How many records are in `slices`.
    pub records: usize,
    /// Unreadable records that were skipped.
    pub unreadable: Vec<BadRecord>,
    /// The shard is closed and all its records were returned before.
    pub exhausted: bool,
    /// Everything up to the tip was returned.
    pub at_tip: bool,
    /// When the upstream last responded for this position; `None` if unknown.
    pub observed: Option<Timestamp>,
    /// The sequence number of the first entry returned; `None` if it has none.
    pub first: Option<SequenceNumber>,
}

impl Read {
    /// How many entries it returned, unreadable ones included.
    pub(super) fn entries(&self) -> usize {
        self.records + self.unreadable.len()
    }

    /// How many bytes of records it returned.
    pub(super) fn bytes(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    /// Whether it found neither an entry nor the shard's end.
    pub(super) fn is_nothing_yet(&self) -> bool {
        self.entries() == 0 && !self.exhausted
    }

    fn add(&mut self, chunk: Chunk) {
        self.begin(chunk.first);
        self.records += chunk.count;
        self.slices.push(chunk.bytes);
    }

    /// Notes the number of the next entry as the first, unless entries came before.
    fn begin(&mut self, number: Option<SequenceNumber>) {
        if self.entries() == 0 {
            self.first = number;
        }
    }

    /// Notes what is known of a position at which nothing more was found yet.
    fn note(&mut self, pending: &Pending) {
        self.at_tip = pending.at_tip;
        self.observed = pending.observed;
    }

    /// Whether to answer where nothing more was found yet, though perhaps soon. What could not be
    /// read is an entry, but a read without records goes on as if it had none.
    fn waits_no_longer(
        &self,
        pending: &Pending,
        reading: &UnaryRead,
        begun: std::time::Instant,
    ) -> Result<bool, CallError> {
        let first_will_do = reading.patience == ReadUntil::FirstRecord;
        if self.records > 0 || (self.entries() > 0 && first_will_do) {
            return Ok(true);
        }
        match reading.patience.bears(pending, begun) {
            Err(error) if self.entries() == 0 => Err(error),
            borne => Ok(borne.is_err() || reading.patience.is_over(pending)),
        }
    }

    fn room(&self, reading: &UnaryRead) -> Option<ReadLimit> {
        let (records, bytes) = (
            reading.records.saturating_sub(self.entries()),
            reading.bytes.saturating_sub(self.bytes()),
        );
        let started = self.entries() > 0;
        (records > 0 && (bytes > 0 || !started)).then_some(ReadLimit {
            records,
            bytes,
            before: None,
        })
    }
}

/// Reads from the cursor and moves it. Records in memory are returned at once: only a read without
/// records waits or calls the upstream. When cancelled, the caller must discard or reset `cursor`.
pub(super) async fn read(
    cursor: &mut Cursor,
    key: &ShardKey,
    reading: UnaryRead,
) -> Result<Read, CallError> {
    let begun = cursor.now();
    let mut read = Read::default();
    while let Some(room) = read.room(&reading) {
        // With records already and too little memory for a full response, return what there is.
        if read.records > 0 && cursor.granted(room).bytes < room.bytes {
            break;
        }
        let polled = match read.records {
            0 => {
                let next = cursor.next(room, WaitFor::FreshResponse);
                match tokio::time::timeout_at(reading.until, next).await {
                    Ok(polled) => polled,
                    Err(_) => return give_up(cursor, read, room, reading.patience),
                }
            }
            _ => cursor.glance(room),
        };
        match polled {
            // A chunk that does not fit is left to the next call (the first always fits), and so
            // are records of one sequence number that do not all fit.
            Polled::Records(chunk, _)
                if read.entries() > 0 && (chunk.bytes.len() > room.bytes || chunk.parts) =>
            {
                break;
            }
            Polled::Records(chunk, after) => {
                read.add(chunk);
                cursor.position = after;
            }
            Polled::Unreadable(bad, after) if reading.skip_unreadable => {
                read.begin(bad.sequence_number);
                read.unreadable.push(bad);
                cursor.position = after;
            }
            // Any other outcome is left to the next call, after these entries are returned.
            polled if read.entries() > 0 && !matches!(polled, Polled::Pending(_)) => break,
            Polled::Unreadable(bad, after) => return Err(unreadable(key, bad, &after)),
            Polled::Gap(gap, after) => return Err(trimmed(key, gap, &after)),
            Polled::Ended => {
                read.exhausted = true;
                read.at_tip = true;
                break;
            }
            Polled::Refused(error) => return Err(CallError::Upstream(error)),
            Polled::Full => return Err(CallError::catch_up_limit()),
            Polled::TooNew => break,
            Polled::Pending(pending) => {
                if read.waits_no_longer(&pending, &reading, begun.at)? {
                    read.note(&pending);
                    break;
                }
            }
        }
    }
    cursor.cancel_wait();
    Ok(read)
}

/// Waits until the cursor's position is known to be readable, without reading: at once if it is
/// in memory, else when AWS gave an iterator.
pub(super) async fn settle(cursor: &mut Cursor, key: &ShardKey) -> Result<(), CallError> {
    let begun = cursor.now();
    let room = ReadLimit { records: 1, bytes: 1, before: None };
    loop {
        match cursor.next(room, WaitFor::Iterator).await {
            Polled::Records(..) | Polled::Unreadable(..) | Polled::TooNew | Polled::Ended => break,
            Polled::Gap(gap, after) => return Err(trimmed(key, gap, &after)),
            Polled::Refused(error) => return Err(CallError::Upstream(error)),
            Polled::Full => return Err(CallError::catch_up_limit()),
            Polled::Pending(pending) if pending.opened => break,
            Polled::Pending(Pending { outage: Some(outage), .. }) if outage.answers(begun.at) => {
                return Err(CallError::Upstream(outage.error.clone()));
            }
            Polled::Pending(_) => {}
        }
    }
    cursor.cancel_wait();
    Ok(())
}

/// Sets the cursor to LATEST, fixed as of now (an anchor).
pub(super) async fn anchor(cursor: &mut Cursor) -> Result<(), CallError> {
    // That the shard is gone is reported by the read that follows.
    let anchored = cursor.anchor().await.map(|_| ());
    anchored.map_err(|error| match error {
        AnchorError::Full => CallError::catch_up_limit(),
        AnchorError::Upstream(error) => CallError::Upstream(error),
    })
}

impl ReadUntil {
    /// Fails if the upstream has failed since `begun`, and the read is not to wait for it.
    fn bears(self, pending: &Pending, begun: std::time::Instant) -> Result<(), CallError> {
        match &pending.outage {
            Some(outage) if outage.answers(begun) && self != Self::FirstRecord => {
                Err(CallError::Upstream(outage.error.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_over(self, pending: &Pending) -> bool {
        // `empties` counts only responses requested since the call began.
        let looked = pending.empties > 0 && pending.at_tip;
        match self {
            Self::FewResponses => looked || pending.empties >= EMPTIES_TO_TIP,
            Self::Tip => looked,
            Self::FirstRecord => false,
        }
    }
}

/// The outcome of a read whose time ran out without a record; reports an upstream that is failing.
fn give_up(
    cursor: &mut Cursor,
    mut read: Read,
    room: ReadLimit,
    patience: ReadUntil,
) -> Result<Read, CallError> {
    let poll = cursor.glance(room);
    cursor.cancel_wait();
    let nothing = read.entries() == 0;
    if let Polled::Pending(pending) = poll {
        if let Some(outage) = pending.outage.filter(|_| nothing) {
            return Err(CallError::Upstream(outage.error.clone()));
        }
        read.at_tip = pending.at_tip;
        read.observed = pending.observed;
    }
    match patience {
        ReadUntil::Tip if nothing => Err(CallError::Deadline),
        ReadUntil::Tip | ReadUntil::FewResponses | ReadUntil::FirstRecord => Ok(read),
    }
}

fn trimmed(key: &ShardKey, gap: Gap, after: &ReadPosition) -> CallError {
    let token = wire::token_behind(key, &gap, after);
    CallError::Trimmed(Box::new(gap), token)
}

fn unreadable(key: &ShardKey, bad: BadRecord, after: &ReadPosition) -> CallError {
    let number = bad.sequence_number.map(|number| number.to_string());
    CallError::Unreadable(number, bad.cause, Some(wire::token(key, after)))
}
