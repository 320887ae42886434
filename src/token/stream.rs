//! Stream tokens: how far a subscription has come in a whole stream. Pure.
//!
//! About 20 bytes per shard: ids as differences to the one before, numbers as binary, times as
//! seconds before the token was made.

use std::collections::BTreeMap;

use crate::model::{Checkpoint, Position, ShardId, StreamArn, Timestamp};

use super::bytes::{Reader, TokenWriter};
use super::{SHARD, STREAM, TokenError, TokenKind, VERSION, bloop_shard, seal, unseal};

/// The longest token text, in characters: enough for ten thousand shards with the longest
/// positions.
pub const MAX_TEXT: usize = 1 << 20;

/// A stream token: how far a subscription has come in a whole stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamToken {
    /// The stream.
    pub stream: StreamArn,
    /// The client named the stream by its table: later streams of the table follow it.
    pub by_table: bool,
    /// When the token was made.
    pub made: Timestamp,
    /// When AWS described the stream for the client that requested the subscription's start:
    /// records trimmed before that are no loss. `None`: not known.
    pub asked: Option<Timestamp>,
    /// The time the subscription started at; shards not begun are entered there. `None`: it did not
    /// start at a time.
    pub since: Option<Timestamp>,
    /// Every shard was delivered to its end, and the client was told that the stream ended.
    pub ended: bool,
    /// The shards that are begun and not finished, and where to resume in each.
    pub begun: BTreeMap<ShardId, Checkpoint>,
    /// The finished shards whose children may not all be known.
    pub finished: BTreeMap<ShardId, Finished>,
}

/// A shard that is finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// A time before which no record of its descendants can have been lost; `None`: not known.
    pub time: Option<Timestamp>,
    /// The client was told that descendants may have come and gone.
    pub told: bool,
}

/// The bits of the flag byte before each begun shard's position; its lowest two bits are the kind
/// of position.
const SKIP: u8 = 4;
const TIME: u8 = 8;

/// The bits of the token's own flag byte.
const BY_TABLE: u8 = 1;
const ASKED: u8 = 2;
const SINCE: u8 = 4;
const ENDED: u8 = 8;

impl StreamToken {
    /// The token's text. Times are rounded down to the second, so that a client resumes a second
    /// early, never late.
    pub fn encode(&self) -> String {
        let mut out = TokenWriter::default();
        out.bytes.reserve(64 + 32 * self.begun.len() + 16 * self.finished.len());
        out.byte(VERSION);
        out.byte(STREAM);
        out.arn(&self.stream);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.byte(
            flag(self.by_table, BY_TABLE)
                | flag(self.asked.is_some(), ASKED)
                | flag(self.since.is_some(), SINCE)
                | flag(self.ended, ENDED),
        );
        let made = self.made.seconds();
        out.signed(made);
        for time in [self.asked, self.since].into_iter().flatten() {
            out.signed(made - time.seconds());
        }
        out.unsigned(self.begun.len() as u64);
        let mut before = 0;
        for (shard, checkpoint) in &self.begun {
            out.shard_behind(&mut before, shard);
            let kind = match checkpoint.position {
                Position::TrimHorizon => 0,
                Position::AtSequenceNumber(_) => 1,
                Position::AfterSequenceNumber(_) => 2,
                Position::AtTimestamp(_) => 3,
            };
            out.byte(
                kind | flag(checkpoint.skip > 0, SKIP) | flag(checkpoint.time.is_some(), TIME),
            );
            match checkpoint.position {
                Position::TrimHorizon => {}
                Position::AtSequenceNumber(number) | Position::AfterSequenceNumber(number) => {
                    out.number(&number)
                }
                Position::AtTimestamp(time) => out.signed(made - time.seconds()),
            }
            if checkpoint.skip > 0 {
                out.unsigned(u64::from(checkpoint.skip));
            }
            if let Some(time) = checkpoint.time {
                out.signed(made - time.seconds());
            }
        }
        out.unsigned(self.finished.len() as u64);
        let mut before = 0;
        for (shard, finished) in &self.finished {
            out.shard_behind(&mut before, shard);
            // Zero means no time; times are increased by one. The lowest bit is `told`.
            let time = finished.time.map_or(0, |time| 1 + zigzag(made - time.seconds()));
            out.unsigned(time << 1 | u64::from(finished.told));
        }
        seal(out)
    }

    /// Reads a token, or a Coordinator or Stream token of bloop (JSON), which counts as made at
    /// `now`.
    pub fn decode(text: &str, now: Timestamp) -> Result<Self, TokenError> {
        if text.trim_start().starts_with('{') && text.len() <= MAX_TEXT {
            return from_bloop(text, now);
        }
        let (kind, body) = unseal(text, MAX_TEXT)?;
        match kind {
            STREAM => read(&mut Reader { bytes: &body }).ok_or(TokenError::Malformed),
            SHARD => Err(TokenError::WrongKind(TokenKind::Shard)),
            _ => Err(TokenError::Malformed),
        }
    }
}

fn read(input: &mut Reader<'_>) -> Option<StreamToken> {
    let stream = input.arn()?;
    let flags = input.byte().filter(|flags| *flags <= (BY_TABLE | ASKED | SINCE | ENDED))?;
    let made = input.signed()?;
    let before_made =
        |input: &mut Reader<'_>| Timestamp::new(made.checked_sub(input.signed()?)?, 0);
    let asked = if flags & ASKED > 0 { Some(before_made(input)?) } else { None };
    let since = if flags & SINCE > 0 { Some(before_made(input)?) } else { None };
    let mut begun = BTreeMap::new();
    let mut before = 0;
    for _ in 0..input.unsigned()? {
        let shard = input.shard_behind(&mut before)?;
        let flags = input.byte().filter(|flags| *flags <= 15)?;
        let position = match flags & 3 {
            0 => Position::TrimHorizon,
            1 => Position::AtSequenceNumber(input.number()?),
            2 => Position::AfterSequenceNumber(input.number()?),
            _ => Position::AtTimestamp(before_made(input)?),
        };
        let skip = if flags & SKIP > 0 { u16::try_from(input.unsigned()?).ok()? } else { 0 };
        let time = if flags & TIME > 0 { Some(before_made(input)?) } else { None };
        begun.insert(shard, Checkpoint { position, skip, time });
    }
    let mut finished = BTreeMap::new();
    let mut before = 0;
    for _ in 0..input.unsigned()? {
        let shard = input.shard_behind(&mut before)?;
        let value = input.unsigned()?;
        let time = match (value >> 1).checked_sub(1) {
            None => None,
            Some(ago) => Some(Timestamp::new(made.checked_sub(unzigzag(ago))?, 0)?),
        };
        finished.insert(shard, Finished { time, told: value & 1 > 0 });
    }
    let (by_table, ended) = (flags & BY_TABLE > 0, flags & ENDED > 0);
    let made = Timestamp::new(made, 0)?;
    input.bytes.is_empty().then_some(StreamToken {
        stream,
        by_table,
        made,
        asked,
        since,
        ended,
        begun,
        finished,
    })
}

/// bloop's `Coordinator.token`: every shard it knew, and which of them it was reading. A shard that
/// it was not reading is either an ancestor of one that it was, or comes after it.
fn from_bloop(text: &str, now: Timestamp) -> Result<StreamToken, TokenError> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|_| TokenError::Malformed)?;
    if json.get("shards").is_none()
        && json.get("active").is_none()
        && json.get("shard_id").is_some()
    {
        return Err(TokenError::WrongKind(TokenKind::Shard));
    }
    let parse = || {
        let stream = StreamArn::parse(json.get("stream_arn")?.as_str()?).ok()?;
        let shards = json
            .get("shards")?
            .as_array()?
            .iter()
            .map(bloop_shard)
            .collect::<Option<BTreeMap<_, _>>>()?;
        let active =
            json.get("active")?.as_array()?.iter().map(|id| ShardId::parse(id.as_str()?).ok());
        let begun = active
            .map(|id| id.and_then(|id| shards.get(&id).map(|checkpoint| (id, *checkpoint))))
            .collect::<Option<_>>()?;
        Some(StreamToken {
            stream,
            by_table: false,
            made: now.floor(),
            asked: None,
            since: None,
            ended: false,
            begun,
            finished: BTreeMap::new(),
        })
    };
    parse().ok_or(TokenError::Malformed)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SequenceNumber;
    use proptest::prelude::*;

    const ARN: &str =
        "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2016-10-23T07:26:33.312";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0).expect("in range")
    }

    fn empty() -> StreamToken {
        StreamToken {
            stream: StreamArn::parse(ARN).expect("an ARN"),
            by_table: false,
            made: at(1_700_000_000),
            asked: None,
            since: None,
            ended: false,
            begun: BTreeMap::new(),
            finished: BTreeMap::new(),
        }
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let number =
            || "[0-9]{1,40}".prop_map(|text| SequenceNumber::parse(&text).expect("digits"));
        let time = || (0i64..4_000_000_000).prop_map(at);
        let position = prop_oneof![
            Just(Position::TrimHorizon),
            number().prop_map(Position::AtSequenceNumber),
            number().prop_map(Position::AfterSequenceNumber),
            time().prop_map(Position::AtTimestamp),
        ];
        (position, any::<u16>(), proptest::option::of(time()))
            .prop_map(|(position, skip, time)| Checkpoint { position, skip, time })
    }

    fn id() -> impl Strategy<Value = ShardId> {
        prop_oneof!["shardId-[0-9]{20}-[0-9a-f]{8}", "shardId-[0-9]{1,21}", "[!-~]{1,255}"]
            .prop_map(|text| ShardId::parse(&text).expect("an id"))
    }

    fn finished() -> impl Strategy<Value = Finished> {
        let time = proptest::option::of((0i64..4_000_000_000).prop_map(at));
        (time, any::<bool>()).prop_map(|(time, told)| Finished { time, told })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(
            by_table: bool,
            ended: bool,
            asked in proptest::option::of((0i64..4_000_000_000).prop_map(at)),
            since in proptest::option::of((0i64..4_000_000_000).prop_map(at)),
            begun in proptest::collection::btree_map(id(), checkpoint(), 0..20),
            finished in proptest::collection::btree_map(id(), finished(), 0..20),
        ) {
            let token = StreamToken { by_table, ended, asked, since, begun, finished, ..empty() };
            let back = StreamToken::decode(&token.encode(), at(0)).expect("our own");
            prop_assert_eq!(format!("{back:?}"), format!("{token:?}"));
        }

        #[test]
        fn a_valid_checksum_on_any_bytes_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let out = TokenWriter { bytes: [&[VERSION, STREAM][..], &bytes].concat() };
            let _ = StreamToken::decode(&seal(out), at(0));
        }
    }

    #[test]
    fn a_thousand_shards_take_about_twenty_bytes_each() {
        let mut token = empty();
        for n in 0..1_000u64 {
            let id = format!(
                "shardId-{:020}-{:08x}",
                1_699_990_000_000 + n * 13_777,
                n.wrapping_mul(2_654_435_761) as u32
            );
            let number = SequenceNumber::parse(&format!(
                "{}",
                800_000_000_007_366_876_936u128 + u128::from(n) * 7_919
            ));
            let checkpoint = Checkpoint::new(
                Position::AfterSequenceNumber(number.expect("digits")),
                Some(at(1_700_000_000 - n as i64 % 60)),
            );
            token.begun.insert(ShardId::parse(&id).expect("an id"), checkpoint);
        }
        let text = token.encode();
        assert!(text.len() < 26_000, "{}", text.len());
        assert_eq!(StreamToken::decode(&text, at(0)).expect("our own"), token);
    }

    #[test]
    fn a_token_that_claims_many_shards_costs_nothing() {
        let mut out = TokenWriter { bytes: vec![VERSION, STREAM] };
        out.arn(&StreamArn::parse(ARN).expect("an ARN"));
        out.byte(0);
        out.signed(0);
        out.unsigned(u64::MAX);
        assert_eq!(StreamToken::decode(&seal(out), at(0)), Err(TokenError::Malformed));
    }

    #[test]
    fn bloop_stream_tokens_resume_where_they_say() {
        let json = format!(
            r#"{{"stream_arn":"{ARN}","active":["c","p"],"shards":[{{"shard_id":"r"}},
            {{"shard_id":"c","iterator_type":"trim_horizon","parent":"p"}},
            {{"shard_id":"p","iterator_type":"after_sequence","sequence_number":"1","parent":"r"}}]}}"#
        );
        let token = StreamToken::decode(&json, at(5)).expect("bloop's");
        let positions: Vec<_> = token
            .begun
            .iter()
            .map(|(id, checkpoint)| (id.as_str().to_owned(), checkpoint.position))
            .collect();
        let one = SequenceNumber::parse("1").expect("digits");
        assert_eq!(
            positions,
            [
                ("c".to_owned(), Position::TrimHorizon),
                ("p".to_owned(), Position::AfterSequenceNumber(one))
            ]
        );
        assert_eq!(
            StreamToken::decode(&json.replace("\"p\"]", "\"x\"]"), at(5)),
            Err(TokenError::Malformed)
        );
        let of_shard = format!(r#"{{"stream_arn":"{ARN}","shard_id":"s"}}"#);
        assert_eq!(
            StreamToken::decode(&of_shard, at(5)),
            Err(TokenError::WrongKind(TokenKind::Shard))
        );
    }
}
