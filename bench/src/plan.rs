//! What the processes of a measurement are told: each gets one plan, as JSON, on its command line.

use serde::{Deserialize, Serialize};

/// What a process of a measurement is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// The upstream.
    Mock(World),
    /// One who reads, in Rust.
    Reader(Reader),
}

/// The upstream: one stream with shards of three kinds. All shards of one kind hold the same
/// records, under the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// What the records look like.
    pub kind: Kind,
    /// Pages of a full and of a paced shard.
    pub pages: usize,
    /// Records of one page.
    pub page_records: usize,
    /// Shards that hold all their pages, and are closed.
    pub full: usize,
    /// Open shards to which a page is added every `pace` from the first read on.
    pub paced: usize,
    /// Open shards that stay empty.
    pub idle: usize,
    /// Milliseconds between two pages of a paced shard.
    pub pace: u64,
    /// When the shards and their records were made, in milliseconds since 1970.
    pub created: u64,
}

/// What records look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// About 1 KB of JSON: a dozen attributes of all types, some with both images.
    Full,
    /// Keys and nothing else.
    Keys,
    /// A key, and one text of so many bytes.
    Sized(usize),
}

/// The three kinds of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    /// All pages are there, and then the shard ends.
    Full,
    /// Pages come one after another.
    Paced,
    /// Never a record.
    Idle,
}

/// One who reads: where, what and how. Peers in other languages get this, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reader {
    /// How it reads.
    pub manner: Manner,
    /// URL of the upstream.
    pub upstream: String,
    /// URL of the server; empty for those who read the upstream themselves.
    pub server: String,
    /// The stream.
    pub stream: String,
    /// Its shards, read one after another.
    pub shards: Vec<String>,
    /// Records of each of them.
    pub shard_records: usize,
    /// Records of one page.
    pub page_records: usize,
    /// Where reading ends: so many records, over all shards.
    pub records: usize,
    /// A shard from whose beginning is read before anything is measured.
    pub warm_shard: String,
    /// So many records of it; none: not at all.
    pub warm_records: usize,
    /// How many read the same at one time.
    pub subscribers: usize,
    /// Their connections.
    pub connections: usize,
    /// Whether connections take HTTP/2 frames of 1 MB and windows of 1 MB and 2 MB, not the
    /// library's defaults.
    pub large_frames: bool,
    /// Milliseconds: between two looks at an idle shard.
    pub pause: u64,
    /// Milliseconds: how long idle shards are followed.
    pub time: u64,
}

/// How one reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manner {
    /// Over gRPC, counting the records in the raw messages.
    Raw,
    /// Over gRPC, decoding every record.
    Decoded,
    /// Over gRPC, all shards of the stream at once, raw.
    Whole,
    /// Over gRPC, raw, noting when each page is complete.
    Pages,
    /// Over gRPC, following all shards of the stream for `time`.
    Follow,
    /// With the AWS SDK.
    Sdk,
    /// With the AWS SDK, noting when each page is returned.
    SdkPages,
    /// With the AWS SDK, looking at every shard each `pause` for `time`.
    SdkFollow,
    /// In another language.
    Foreign,
}

/// What a reader says when it is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// Records it got, all subscribers together.
    pub records: usize,
    /// When each page was there, by the clock that all processes share.
    #[serde(default)]
    pub pages: Vec<u64>,
}

/// A reader got other records than it should have: what it took means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it got {got} records, not {expected}")]
pub struct WrongCount {
    got: usize,
    expected: usize,
}

impl Told {
    /// Fails unless these are exactly the records that were to be read.
    pub fn check(&self, expected: usize) -> Result<(), WrongCount> {
        let got = self.records;
        if got == expected { Ok(()) } else { Err(WrongCount { got, expected }) }
    }
}

impl World {
    /// The stream that lists all shards.
    pub fn stream(&self) -> String {
        arn("whole")
    }

    /// A shard's id. The upstream knows by it what the shard is.
    pub fn shard(&self, shards: Shards, index: usize) -> String {
        format!("shardId-{:020}-{}{index:07x}", self.created, shards.letter())
    }

    /// Every shard's id, in order.
    pub fn shards(&self) -> Vec<String> {
        let all =
            [(Shards::Full, self.full), (Shards::Paced, self.paced), (Shards::Idle, self.idle)];
        all.into_iter()
            .flat_map(|(shards, count)| (0..count).map(move |at| self.shard(shards, at)))
            .collect()
    }

    /// Records of a full shard.
    pub fn shard_records(&self) -> usize {
        self.pages * self.page_records
    }
}

/// The stream that lists the first shard and no other: for readers who only know whole streams.
pub fn stream_of_one() -> String {
    arn("one")
}

fn arn(table: &str) -> String {
    format!("arn:aws:dynamodb:us-east-1:000000000000:table/{table}/stream/2026-01-01T00:00:00.000")
}

impl Shards {
    /// Of which kind the shard of this id is.
    pub fn of(shard: &str) -> Option<Self> {
        match shard.rsplit('-').next()?.as_bytes().first()? {
            b'd' => Some(Self::Full),
            b'b' => Some(Self::Paced),
            b'e' => Some(Self::Idle),
            _ => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Full => 'd',
            Self::Paced => 'b',
            Self::Idle => 'e',
        }
    }
}

/// So much at this scale: at least one.
pub fn scaled(usual: usize, scale: f64) -> usize {
    ((usual as f64 * scale).round() as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_more_or_less_is_an_error() {
        let told = Told { records: 7, pages: vec![] };
        assert_eq!([6, 7, 8].map(|expected| told.check(expected).is_ok()), [false, true, false]);
    }

    #[test]
    fn a_shards_id_says_what_the_shard_is() {
        let created = 1_700_000_000_000;
        let world = World {
            kind: Kind::Keys,
            pages: 1,
            page_records: 1,
            full: 2,
            paced: 1,
            idle: 1,
            pace: 0,
            created,
        };
        let kinds: Vec<_> = world.shards().iter().map(|id| Shards::of(id)).collect();
        assert_eq!(
            kinds,
            [Some(Shards::Full), Some(Shards::Full), Some(Shards::Paced), Some(Shards::Idle)],
            "{:?}",
            world.shards()
        );
    }
}
