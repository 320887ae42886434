//! Shard iterators: opaque to readers, but they bear all the fake needs, so that it keeps none of
//! them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What an iterator stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Iterator {
    /// The shard's ordinal.
    pub shard: u32,
    /// The next entry to give.
    pub index: usize,
    /// When it was given out.
    pub issued: Duration,
    /// The empty pages given on its way from GetShardIterator; `None`: data was given, too.
    pub empties: Option<u8>,
    /// Makes every iterator another text.
    pub nonce: u64,
}

impl Iterator {
    /// The text a reader gets.
    pub fn encode(&self) -> String {
        let Self { shard, index, issued, empties, nonce } = self;
        let empties = empties.map_or(String::new(), |empties| empties.to_string());
        BASE64.encode(format!("fake|{shard}|{index}|{}|{empties}|{nonce}", issued.as_nanos(),))
    }

    /// Reads the text; `None` for what the fake never gave out.
    pub fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let mut parts = text.strip_prefix("fake|")?.split('|');
        Some(Self {
            shard: parts.next()?.parse().ok()?,
            index: parts.next()?.parse().ok()?,
            issued: Duration::from_nanos(parts.next()?.parse().ok()?),
            empties: match parts.next()? {
                "" => None,
                empties => Some(empties.parse().ok()?),
            },
            nonce: parts.next()?.parse().ok()?,
        })
    }
}
