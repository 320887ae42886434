//! Tokens: what was delivered, as opaque text that any server of the same upstream can read. Pure.
//!
//! This file has the tokens of one shard; [`stream`] has those of whole streams. The bytes, before
//! base64url without padding: version, kind, stream, shard, position, skip, time, and a CRC-32 of
//! all that. The parts that AWS's names have in common are left out, so that a token stays under
//! 200 characters for table names up to 75.

mod bytes;
pub mod stream;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{Checkpoint, Position, SequenceNumber, ShardId, StreamArn, Timestamp};

use bytes::{Reader, TokenWriter};

/// The token format this server writes, and the newest one it reads.
const VERSION: u8 = 1;

/// The kind byte of a shard's token.
const SHARD: u8 = 1;
/// The kind byte of a whole stream's token, needed here to reject such tokens by name.
const STREAM: u8 = 2;

/// The longest token text, in characters: enough for the longest ARN and shard id.
const MAX_TEXT: usize = 4_096;

/// A shard token: what was delivered from one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardToken {
    /// The stream.
    pub stream: StreamArn,
    /// The shard.
    pub shard: ShardId,
    /// Where to resume.
    pub checkpoint: Checkpoint,
}

/// What a token resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// One shard.
    Shard,
    /// A whole stream.
    Stream,
}

/// Why a text is not the requested token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Damaged, truncated, or not a token at all.
    #[error("this is not a token, or it was damaged on its way")]
    Malformed,
    /// A token of another kind than requested: which kind it is.
    #[error("this is the token of {0}, which is not what is wanted here")]
    WrongKind(TokenKind),
    /// Made by a newer server: the token's format version.
    #[error("this token has format {0}; this server reads formats up to {VERSION}")]
    Version(u8),
}

impl ShardToken {
    /// The token's text.
    pub fn encode(&self) -> String {
        let mut out = TokenWriter::default();
        out.byte(VERSION);
        out.byte(SHARD);
        out.arn(&self.stream);
        out.shard(&self.shard);
        match self.checkpoint.position {
            Position::TrimHorizon => out.byte(0),
            Position::AtSequenceNumber(number) => {
                out.byte(1);
                out.digits(number.as_str());
            }
            Position::AfterSequenceNumber(number) => {
                out.byte(2);
                out.digits(number.as_str());
            }
            Position::AtTimestamp(time) => {
                out.byte(3);
                out.signed(time.seconds());
            }
        }
        out.unsigned(u64::from(self.checkpoint.skip));
        match self.checkpoint.time {
            None => out.byte(0),
            Some(time) => {
                out.byte(1);
                out.signed(time.millis());
            }
        }
        seal(out)
    }

    /// Reads a token, or a Shard token of bloop (JSON).
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        if text.trim_start().starts_with('{') && text.len() <= stream::MAX_TEXT {
            return from_bloop(text);
        }
        let (kind, body) = unseal(text, stream::MAX_TEXT)?;
        match kind {
            SHARD if text.len() <= MAX_TEXT => {
                read(&mut Reader { bytes: &body }).ok_or(TokenError::Malformed)
            }
            STREAM => Err(TokenError::WrongKind(TokenKind::Stream)),
            _ => Err(TokenError::Malformed),
        }
    }
}

/// Adds the checksum to a token's bytes and returns the token's text.
fn seal(mut out: TokenWriter) -> String {
    let checksum = crc32fast::hash(&out.bytes);
    out.bytes.extend_from_slice(&checksum.to_be_bytes());
    URL_SAFE_NO_PAD.encode(out.bytes)
}

/// Checks a token's text and returns its kind byte and the bytes after it.
fn unseal(text: &str, longest: usize) -> Result<(u8, Vec<u8>), TokenError> {
    if text.len() > longest {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(TokenError::Malformed)?;
    if crc32fast::hash(body).to_be_bytes() != *checksum {
        return Err(TokenError::Malformed);
    }
    match body {
        [version, ..] if *version > VERSION => Err(TokenError::Version(*version)),
        [VERSION, kind, rest @ ..] => Ok((*kind, rest.to_vec())),
        _ => Err(TokenError::Malformed),
    }
}

fn read(input: &mut Reader<'_>) -> Option<ShardToken> {
    let stream = input.arn()?;
    let shard = input.shard()?;
    let position = match input.byte()? {
        0 => Position::TrimHorizon,
        1 => Position::AtSequenceNumber(input.digits()?),
        2 => Position::AfterSequenceNumber(input.digits()?),
        3 => Position::AtTimestamp(Timestamp::new(input.signed()?, 0)?),
        _ => return None,
    };
    let skip = u16::try_from(input.unsigned()?).ok()?;
    let time = match input.byte()? {
        0 => None,
        1 => Some(Timestamp::from_millis(input.signed()?)?),
        _ => return None,
    };
    input.bytes.is_empty().then_some(ShardToken {
        stream,
        shard,
        checkpoint: Checkpoint { position, skip, time },
    })
}

/// bloop's `Shard.token` is a JSON object; its `Coordinator.token` and `Stream.token` have `shards`
/// and `active`.
///
/// A bloop token does not say how old it is: positions that AWS cannot check (the horizon) resume
/// with a possible gap. A bloop token of type `latest` has no position at all and resumes from the
/// horizon, which loses nothing.
fn from_bloop(text: &str) -> Result<ShardToken, TokenError> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|_| TokenError::Malformed)?;
    if json.get("shards").is_some() || json.get("active").is_some() {
        return Err(TokenError::WrongKind(TokenKind::Stream));
    }
    let parse = || {
        let stream = StreamArn::parse(json.get("stream_arn")?.as_str()?).ok()?;
        let (shard, checkpoint) = bloop_shard(&json)?;
        Some(ShardToken { stream, shard, checkpoint })
    };
    parse().ok_or(TokenError::Malformed)
}

/// A shard of a bloop token and its position.
fn bloop_shard(json: &serde_json::Value) -> Option<(ShardId, Checkpoint)> {
    let field = |name: &str| json.get(name).and_then(serde_json::Value::as_str);
    let shard = ShardId::parse(field("shard_id")?).ok()?;
    let number = || SequenceNumber::parse(field("sequence_number")?).ok();
    let position = match field("iterator_type") {
        Some("at_sequence") => Position::AtSequenceNumber(number()?),
        Some("after_sequence") => Position::AfterSequenceNumber(number()?),
        Some("trim_horizon" | "latest") | None => Position::TrimHorizon,
        Some(_) => return None,
    };
    Some((shard, Checkpoint::new(position, None)))
}

impl std::fmt::Display for TokenKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shard => "a single shard",
            Self::Stream => "a whole stream",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ARN: &str =
        "arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2016-10-23T07:26:33.312";

    fn token(arn: &str, shard: &str, position: Position) -> ShardToken {
        ShardToken {
            stream: StreamArn::parse(arn).expect("an ARN"),
            shard: ShardId::parse(shard).expect("an id"),
            checkpoint: Checkpoint {
                position,
                skip: 3,
                time: Timestamp::from_millis(1_477_207_595_861),
            },
        }
    }

    fn position() -> impl Strategy<Value = Position> {
        let number =
            || "[0-9]{1,40}".prop_map(|text| SequenceNumber::parse(&text).expect("digits"));
        prop_oneof![
            Just(Position::TrimHorizon),
            number().prop_map(Position::AtSequenceNumber),
            number().prop_map(Position::AfterSequenceNumber),
            (-1_000i64..4_000_000_000)
                .prop_map(|s| Position::AtTimestamp(Timestamp::new(s, 0).expect("in range"))),
        ]
    }

    fn arn() -> impl Strategy<Value = String> {
        let label = prop_oneof![
            Just("2016-10-23T07:26:33.312".to_owned()),
            Just("2016-10-23T07:26:33".to_owned()),
            Just("2016-02-30T07:26:33.312".to_owned()),
            "[!-.0-9;-~]{1,30}",
        ];
        let account = prop_oneof!["[0-9]{12}", "[a-z0-9]{1,14}"];
        let parts =
            ("aws(-cn|-us-gov|-x)?", "[a-z0-9-]{1,20}", account, "[A-Za-z0-9_.-]{3,60}", label);
        parts.prop_map(|(partition, region, account, table, label)| {
            format!("arn:{partition}:dynamodb:{region}:{account}:table/{table}/stream/{label}")
        })
    }

    fn shard() -> impl Strategy<Value = String> {
        prop_oneof![
            "shardId-[0-9]{20}-[0-9a-f]{8}",
            "shardId-[0-9]{1,21}(-[0-9A-F]{8})?",
            "[!-~]{1,255}"
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(
            arn in arn(),
            shard in shard(),
            position in position(),
            skip: u16,
        ) {
            let mut token = token(&arn, &shard, position);
            token.checkpoint.skip = skip;
            let back = ShardToken::decode(&token.encode()).expect("our own");
            prop_assert_eq!(back.stream.as_str(), arn.as_str());
            prop_assert_eq!(back.shard.as_str(), shard.as_str());
            prop_assert_eq!(format!("{:?}", back.checkpoint), format!("{:?}", token.checkpoint));
        }

        #[test]
        fn any_text_is_refused_or_read_but_never_panics(text in ".{0,300}") {
            let _ = ShardToken::decode(&text);
        }

        #[test]
        fn a_valid_checksum_on_any_bytes_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut bytes = [&[VERSION, SHARD][..], &bytes].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            let _ = ShardToken::decode(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }

    #[test]
    fn every_damaged_bit_is_noticed() {
        let number = SequenceNumber::parse(&"9".repeat(40)).expect("digits");
        let good = token(
            ARN,
            "shardId-00000001477207595861-d35d208d",
            Position::AfterSequenceNumber(number),
        )
        .encode();
        assert!(good.len() < 200, "{}", good.len());
        let bytes = URL_SAFE_NO_PAD.decode(&good).expect("our own");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                ShardToken::decode(&URL_SAFE_NO_PAD.encode(damaged)),
                Err(TokenError::Malformed),
                "bit {bit}"
            );
        }
        for length in 0..good.len() {
            assert_eq!(
                ShardToken::decode(&good[..length]),
                Err(TokenError::Malformed),
                "cut to {length}"
            );
        }
    }

    #[test]
    fn kinds_and_formats_are_told_apart() {
        let with_sum = |mut bytes: Vec<u8>| {
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            URL_SAFE_NO_PAD.encode(bytes)
        };
        assert_eq!(
            ShardToken::decode(&with_sum(vec![VERSION, STREAM, 1, 2])),
            Err(TokenError::WrongKind(TokenKind::Stream))
        );
        assert_eq!(ShardToken::decode(&with_sum(vec![9, SHARD])), Err(TokenError::Version(9)));
        let of_stream = format!(r#"{{"stream_arn":"{ARN}","active":[],"shards":[]}}"#);
        assert_eq!(ShardToken::decode(&of_stream), Err(TokenError::WrongKind(TokenKind::Stream)));
    }

    #[test]
    fn bloop_shard_tokens_resume_where_they_say() {
        let json = |rest: &str| format!(r#"{{"stream_arn":"{ARN}","shard_id":"shard-id"{rest}}}"#);
        let position =
            |rest: &str| ShardToken::decode(&json(rest)).map(|token| token.checkpoint.position);
        let number = SequenceNumber::parse("800000000007366876936").expect("digits");
        let after = r#","iterator_type":"after_sequence","sequence_number":"800000000007366876936","parent":"p""#;
        assert_eq!(position(after), Ok(Position::AfterSequenceNumber(number)));
        assert_eq!(position(&after.replace("after", "at")), Ok(Position::AtSequenceNumber(number)));
        assert_eq!(position(r#","iterator_type":"trim_horizon""#), Ok(Position::TrimHorizon));
        assert_eq!(position(""), Ok(Position::TrimHorizon));
        assert_eq!(position(r#","iterator_type":"after_sequence""#), Err(TokenError::Malformed));
        assert_eq!(ShardToken::decode("{}"), Err(TokenError::Malformed));
    }
}
