//! Where a reader stands, and the text that it gets for it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::number::SequenceNumber;
use crate::{Millis, chance};

/// How long an iterator can be used.
pub(crate) const LIFE: Millis = 15 * 60 * 1_000;

/// A place in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the oldest record there is, whatever was trimmed.
    Horizon,
    /// Before the record of that number.
    At(SequenceNumber),
    /// Behind it.
    After(SequenceNumber),
}

/// An iterator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Iterator {
    pub(crate) stream: String,
    pub(crate) shard: u64,
    pub(crate) place: Place,
    pub(crate) issued: Millis,
    /// Empty pages given since GetShardIterator; `None`: a record came.
    pub(crate) empties: Option<u8>,
}

impl Iterator {
    /// As AWS writes it: the stream's ARN, a version, and what is nobody's business.
    pub(crate) fn encode(&self) -> String {
        let inside = self.inside();
        let text = format!("{inside}.{:016x}", self.seal(&inside));
        format!("{}|1|{}", self.stream, URL_SAFE_NO_PAD.encode(text))
    }

    /// `None`: it was never given.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let (stream, text) = text.split_once("|1|")?;
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (inside, seal) = text.rsplit_once('.')?;
        let mut parts = inside.split('.');
        let shard = parts.next()?.parse().ok()?;
        let issued = parts.next()?.parse().ok()?;
        let place = match parts.next()?.split_at_checked(1)? {
            ("H", "") => Place::Horizon,
            ("A", number) => Place::At(number.parse().ok()?),
            ("B", number) => Place::After(number.parse().ok()?),
            _ => return None,
        };
        let empties = match parts.next()? {
            "-" => None,
            count => Some(count.parse().ok()?),
        };
        let iterator = Self { stream: stream.to_owned(), shard, place, issued, empties };
        (seal == format!("{:016x}", iterator.seal(inside))).then_some(iterator)
    }

    fn inside(&self) -> String {
        let place = match self.place {
            Place::Horizon => "H".to_owned(),
            Place::At(number) => format!("A{number}"),
            Place::After(number) => format!("B{number}"),
        };
        let empties = self.empties.map_or("-".to_owned(), |count| count.to_string());
        format!("{}.{}.{place}.{empties}", self.shard, self.issued)
    }

    fn seal(&self, inside: &str) -> u64 {
        chance::hash(&format!("{}|{inside}", self.stream))
    }
}
