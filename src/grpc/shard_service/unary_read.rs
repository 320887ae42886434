//! Unary reads: a cursor is moved forward until the answer is full, the shard ended, or there is
//! nothing more to wait for.

use bytes::Bytes;
use tokio::time::Instant;

use crate::encode::ReadLimit;
use crate::hub::ShardKey;
use crate::hub::cursor::{AnchorError, Cursor};
use crate::hub::shard::poll::{BadRecord, Gap, Pending, Polled, WaitFor};
use crate::hub::shard::position::ReadPosition;
use crate::hub::shard::tip::EMPTIES_TO_TIP;
use crate::model::{SequenceNumber, Timestamp};

use super::super::error::CallError;
use super::super::wire;

/// What a read may give, and how long it may look.
#[derive(Clone, Copy, Debug)]
pub struct UnaryRead {
    /// Records at most, at least one.
    pub records: usize,
    /// Bytes at most; one record always fits.
    pub bytes: usize,
    /// Unreadable records are skipped, and named in the answer.
    pub skip_unreadable: bool,
    /// What to wait for when there is nothing.
    pub patience: ReadUntil,
    /// How long at most.
    pub until: Instant,
}

/// When to stop looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadUntil {
    /// After a few answers.
    FewResponses,
    /// When something comes.
    FirstRecord,
    /// At the tip.
    Tip,
}

/// What a read gave.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Runs of encoded records.
    pub slices: Vec<Bytes>,
    /// How many records they are.
    pub records: usize,
    /// Unreadable records that were skipped.
    pub unreadable: Vec<BadRecord>,
    /// The shard is closed and everything was given before.
    pub exhausted: bool,
    /// Everything up to the tip was given.
    pub at_tip: bool,
    /// When the upstream was last heard of there.
    pub observed: Option<Timestamp>,
    /// The number of the first record, where it has one and is the first of all entries given.
    pub first: Option<SequenceNumber>,
}

impl Read {
    /// How many entries it gave, unreadable ones included.
    pub fn entries(&self) -> usize {
        self.records + self.unreadable.len()
    }

    /// How many bytes of records.
    pub fn bytes(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    /// It found neither an entry nor the shard's end.
    pub fn is_nothing_yet(&self) -> bool {
        self.entries() == 0 && !self.exhausted
    }

    /// Notes the number of the first entry, which comes now unless something came before.
    fn begin(&mut self, number: Option<SequenceNumber>) {
        if self.entries() == 0 {
            self.first = number;
        }
    }

    /// Notes what is known where nothing more is there yet.
    fn note(&mut self, pending: &Pending) {
        self.at_tip = pending.at_tip;
        self.observed = pending.observed;
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

/// Reads from the cursor, moving it. What is there is given at once: only a read that has no record
/// yet waits, or asks for anything. Cancel-safe in that the caller throws the cursor away.
pub async fn read(
    cursor: &mut Cursor,
    key: &ShardKey,
    reading: UnaryRead,
) -> Result<Read, CallError> {
    let begun = cursor.now();
    let mut read = Read::default();
    while let Some(room) = read.room(&reading) {
        // What has something and no room for all it may have goes as it is.
        if read.records > 0 && cursor.granted(room).bytes < room.bytes {
            break;
        }
        let poll = match read.records {
            0 => match tokio::time::timeout_at(
                reading.until,
                cursor.next(room, WaitFor::FreshResponse),
            )
            .await
            {
                Ok(poll) => poll,
                Err(_) => return give_up(cursor, read, room, reading.patience),
            },
            _ => cursor.glance(room),
        };
        match poll {
            // A chunk that would overfill the answer waits for the next one; one record always
            // fits. So do records of one number that do not all fit.
            Polled::Records(chunk, _)
                if read.entries() > 0 && (chunk.bytes.len() > room.bytes || chunk.parts) =>
            {
                break;
            }
            Polled::Records(chunk, after) => {
                read.begin(chunk.first);
                read.records += chunk.count;
                read.slices.push(chunk.bytes);
                cursor.position = after;
            }
            Polled::Unreadable(bad, after) if reading.skip_unreadable => {
                read.begin(bad.sequence_number);
                read.unreadable.push(bad);
                cursor.position = after;
            }
            // Whatever else there is to say waits until what was read is given.
            _ if read.entries() > 0 => {
                if let Polled::Pending(pending) = poll {
                    read.note(&pending);
                }
                break;
            }
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
                if let Some(outage) = &pending.outage
                    && outage.answers(begun.at)
                    && reading.patience != ReadUntil::FirstRecord
                {
                    return Err(CallError::Upstream(outage.error.clone()));
                }
                if reading.patience.is_over(&pending) {
                    read.note(&pending);
                    break;
                }
            }
        }
    }
    cursor.cancel_wait();
    Ok(read)
}

/// Waits until the place is known to be readable, without reading: inside what is in memory at
/// once, else when AWS gave an iterator.
pub async fn settle(cursor: &mut Cursor, key: &ShardKey) -> Result<(), CallError> {
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

/// Moves the cursor to LATEST.
pub async fn anchor(cursor: &mut Cursor) -> Result<(), CallError> {
    // That the shard is gone is told by whoever reads it.
    let anchored = cursor.anchor().await.map(|_| ());
    anchored.map_err(|error| match error {
        AnchorError::Full => CallError::catch_up_limit(),
        AnchorError::Upstream(error) => CallError::Upstream(error),
    })
}

impl ReadUntil {
    fn is_over(self, pending: &Pending) -> bool {
        // `empties` counts answers asked for since the call began.
        let looked = pending.empties > 0 && pending.at_tip;
        match self {
            Self::FewResponses => looked || pending.empties >= EMPTIES_TO_TIP,
            Self::Tip => looked,
            Self::FirstRecord => false,
        }
    }
}

/// The time is over, and no record came: an upstream in trouble is told.
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
