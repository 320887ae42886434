//! What can be wrong with each kind of field, wherever it stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shardstream::pb;
use tonic::Code;

use super::fixture::{Bed, Call, after, name, position};

/// One request, and what is to come of it.
pub struct Case {
    /// The field, from the request's message on.
    pub path: String,
    pub what: String,
    pub call: Call,
    pub expect: Expect,
}

/// What is to come of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expect {
    Granted,
    Refused(Code, &'static str),
}

/// The table.
#[derive(Default)]
pub struct Cases {
    pub all: Vec<Case>,
}

/// What a token may name beside the field it stands in.
#[derive(Clone, Copy, PartialEq)]
pub enum Fixed {
    /// A lease or a name says which shard it must be.
    Shard,
    /// The token alone says it.
    Nothing,
}

pub const fn malformed(reason: &'static str) -> Expect {
    Expect::Refused(Code::InvalidArgument, reason)
}

const NO_LEASE: Expect = Expect::Refused(Code::NotFound, "LEASE_NOT_FOUND");
const NO_STREAM: Expect = Expect::Refused(Code::NotFound, "STREAM_NOT_FOUND");
const NO_SHARD: Expect = Expect::Refused(Code::NotFound, "SHARD_NOT_FOUND");

impl Cases {
    pub fn add(&mut self, path: &str, what: impl Into<String>, expect: Expect, call: Call) {
        self.all.push(Case { path: path.to_owned(), what: what.into(), call, expect });
    }

    /// A lease; `unknown`: what comes of one that is not there.
    pub fn lease(&mut self, path: &str, make: impl Fn(String) -> Call) {
        let texts = [
            String::new(),
            "nonsense".into(),
            "0".repeat(32),
            "f".repeat(33),
            "é".repeat(16),
            "a\0b".into(),
        ];
        for text in texts.into_iter().chain(["x".repeat(60_000)]) {
            self.add(path, clip(&text), NO_LEASE, make(text));
        }
    }

    /// A stream's name.
    pub fn stream(&mut self, bed: &Bed, path: &str, make: impl Fn(String) -> Call) {
        let arn = bed.shard.stream.to_string();
        let table = arn.split("/stream/").next().expect("split gives one").to_owned();
        let long = |bytes: usize| format!("{arn}{}", "9".repeat(bytes - arn.len()));
        for text in [
            String::new(),
            "ab".into(),
            "a b c".into(),
            "tab\tle".into(),
            "Örders".into(),
            "x".repeat(256),
            "x".repeat(60_000),
            "a\0b\nc".into(),
            table,
            "arn:".into(),
            "arn:aws:s3:::bucket".into(),
            arn.replace("dynamodb", "sqs"),
            arn.replace("us-east-1", ""),
            arn.replace("/stream/", "/index/"),
            format!("{arn}/more"),
            format!("{arn} "),
            long(1_025),
        ] {
            self.add(path, clip(&text), malformed("STREAM_MALFORMED"), make(text));
        }
        let elsewhere = arn.replace("us-east-1", "eu-west-1");
        for text in [
            "Nowhere".to_owned(),
            "x".repeat(255),
            elsewhere,
            long(1_024),
            arn.replace("Orders", "orders"),
        ] {
            self.add(path, clip(&text), NO_STREAM, make(text));
        }
        for text in [arn, "Orders".to_owned()] {
            self.add(path, clip(&text), Expect::Granted, make(text));
        }
    }

    /// A shard's name; `missing`: what comes of none.
    pub fn shard(
        &mut self,
        bed: &Bed,
        path: &str,
        missing: Expect,
        make: impl Fn(Option<pb::ShardName>) -> Call,
    ) {
        self.add(path, "unset", missing, make(None));
        let good = name(&bed.shard);
        self.stream(bed, &format!("{path}.stream"), |stream| {
            make(Some(pb::ShardName { stream, ..good.clone() }))
        });
        let at = format!("{path}.shard_id");
        let id = bed.shard.shard.to_string();
        let with = |shard_id: &str| {
            make(Some(pb::ShardName { shard_id: shard_id.to_owned(), ..good.clone() }))
        };
        for text in ["", "a b", "ü", "a\n", "\0", &"x".repeat(256), &"x".repeat(60_000)] {
            self.add(&at, clip(text), malformed("SHARD_MALFORMED"), with(text));
        }
        let cut = &id[..id.len() - 1];
        for text in
            ["nonsense", &"x".repeat(255), cut, &id.to_uppercase(), bed.foreign.shard.as_str()]
        {
            self.add(&at, clip(text), NO_SHARD, with(text));
        }
    }

    /// A position.
    pub fn position(&mut self, bed: &Bed, path: &str, make: impl Fn(pb::Position) -> Call) {
        use pb::IteratorType as Kind;
        let at = format!("{path}.iterator_type");
        self.add(&at, "unset", malformed("POSITION_MALFORMED"), make(pb::Position::default()));
        for kind in [-1, 6, i32::MAX] {
            let unknown = pb::Position { iterator_type: kind, ..Default::default() };
            self.add(&at, kind.to_string(), malformed("POSITION_MALFORMED"), make(unknown));
        }
        let now = super::fields::stamp(bed.fake.wall());
        let at = format!("{path}.sequence_number");
        let with = |kind: Kind, sequence_number: &str| {
            make(pb::Position { sequence_number: sequence_number.to_owned(), ..position(kind) })
        };
        for kind in [Kind::AtSequenceNumber, Kind::AfterSequenceNumber] {
            self.add(&at, "lacking", malformed("POSITION_MALFORMED"), with(kind, ""));
            for text in
                ["-1", "1.5", "0x10", " 1", "1e3", "१२", "\0", &"9".repeat(41), &"1".repeat(60_000)]
            {
                self.add(&at, clip(text), malformed("SEQUENCE_NUMBER_MALFORMED"), with(kind, text));
            }
            let padded = format!("000{}", bed.number(3));
            for text in ["0", &"9".repeat(40), &padded] {
                self.add(&at, clip(text), Expect::Granted, with(kind, text));
            }
            let both = pb::Position { time: Some(now), ..after(bed.number(1)) };
            self.add(&at, "beside a time", malformed("POSITION_MALFORMED"), make(both));
        }
        for kind in [Kind::TrimHorizon, Kind::Latest, Kind::AtTimestamp] {
            let expect = malformed("POSITION_MALFORMED");
            self.add(&at, format!("beside {kind:?}"), expect, with(kind, "1"));
        }
        let at = format!("{path}.time");
        self.add(
            &at,
            "lacking",
            malformed("POSITION_MALFORMED"),
            make(position(Kind::AtTimestamp)),
        );
        for kind in [Kind::TrimHorizon, Kind::Latest] {
            let both = pb::Position { time: Some(now), ..position(kind) };
            self.add(&at, format!("beside {kind:?}"), malformed("POSITION_MALFORMED"), make(both));
        }
        self.time(bed, &at, |time| {
            make(pb::Position { time: Some(time), ..position(Kind::AtTimestamp) })
        });
    }

    /// A time to read from.
    pub fn time(&mut self, bed: &Bed, path: &str, make: impl Fn(prost_types::Timestamp) -> Call) {
        let now = super::fields::stamp(bed.fake.wall());
        self.no_time(path, &make);
        let ahead = |seconds: i64| prost_types::Timestamp { seconds: now.seconds + seconds, ..now };
        for seconds in [3_600, 24 * 3_600 * 365] {
            self.add(
                path,
                format!("{seconds} s ahead"),
                malformed("TIME_IN_FUTURE"),
                make(ahead(seconds)),
            );
        }
        for seconds in [4, 0, -1, -25 * 3_600, -now.seconds, -now.seconds - 62_135_596_800] {
            self.add(path, format!("{seconds} s ahead"), Expect::Granted, make(ahead(seconds)));
        }
    }

    /// What is no time at all.
    pub fn no_time(&mut self, path: &str, make: impl Fn(prost_types::Timestamp) -> Call) {
        let bad = [
            (i64::MIN, 0),
            (i64::MAX, 0),
            (i64::MAX, i32::MAX),
            (253_402_300_800, 0),
            (-62_135_596_801, 0),
            (0, -1),
            (0, i32::MIN),
            (0, 1_000_000_000),
        ];
        for (seconds, nanos) in bad {
            let time = prost_types::Timestamp { seconds, nanos };
            self.add(
                path,
                format!("{seconds} s {nanos} ns"),
                malformed("TIME_MALFORMED"),
                make(time),
            );
        }
    }

    /// A duration; every valid one is coerced.
    pub fn duration(&mut self, path: &str, make: impl Fn(prost_types::Duration) -> Call) {
        let bad = [
            (-1, 0),
            (0, -1),
            (-1, -1),
            (1, -1),
            (i64::MIN, i32::MIN),
            (i64::MAX, 0),
            (315_576_000_001, 0),
            (0, 1_000_000_000),
            (0, i32::MAX),
        ];
        for (seconds, nanos) in bad {
            let duration = prost_types::Duration { seconds, nanos };
            self.add(
                path,
                format!("{seconds} s {nanos} ns"),
                malformed("TIME_MALFORMED"),
                make(duration),
            );
        }
        for (seconds, nanos) in [(0, 0), (0, 1), (1, 999_999_999), (315_576_000_000, 0)] {
            let duration = prost_types::Duration { seconds, nanos };
            self.add(path, format!("{seconds} s {nanos} ns"), Expect::Granted, make(duration));
        }
    }

    /// A number; every one that is not negative is coerced.
    pub fn size(&mut self, path: &str, bits: u32, make: impl Fn(i64) -> Call) {
        let most = if bits == 32 { i64::from(i32::MAX) } else { i64::MAX };
        for value in [-1, -most - 1] {
            self.add(path, value.to_string(), malformed("SIZE_MALFORMED"), make(value));
        }
        for value in [0, 1, most] {
            self.add(path, value.to_string(), Expect::Granted, make(value));
        }
    }

    /// A shard token.
    pub fn token(
        &mut self,
        bed: &Bed,
        path: &str,
        empty: Expect,
        fixed: Fixed,
        make: impl Fn(String) -> Call,
    ) {
        let good = bed.token(&bed.shard, 4);
        self.add(path, "empty", empty, make(String::new()));
        self.add(path, "good", Expect::Granted, make(good.clone()));
        let bytes = URL_SAFE_NO_PAD.decode(&good).expect("our own");
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let text = URL_SAFE_NO_PAD.encode(damaged);
            self.add(path, format!("bit {bit} flipped"), malformed("TOKEN_MALFORMED"), make(text));
        }
        let arn = bed.shard.stream.as_str();
        for text in [
            good[..good.len() - 1].to_owned(),
            format!("{good}A"),
            format!("{good}="),
            format!(" {good}"),
            good.replace(char::is_alphabetic, "é"),
            good.to_uppercase(),
            "A".repeat(4_096),
            "A".repeat(60_000),
            "nonsense".into(),
            "{".into(),
            "{}".into(),
            "[".repeat(4_000),
            format!("{{\"a\":{}", "[".repeat(4_000)),
            format!(r#"{{"stream_arn":"{arn}","shard_id":""}}"#),
            format!(r#"{{"stream_arn":"{arn}","shard_id":"x","iterator_type":"at_sequence"}}"#),
            r#"{"stream_arn":7,"shard_id":[]}"#.into(),
            sealed(vec![]),
            sealed(vec![0, 1]),
            sealed(vec![1]),
            sealed(vec![1, 9, 0, 0]),
            sealed([&bytes[..bytes.len() - 4], &[0]].concat()),
        ] {
            self.add(path, clip(&text), malformed("TOKEN_MALFORMED"), make(text));
        }
        let mut newer = bytes[..bytes.len() - 4].to_vec();
        newer[0] = 2;
        for text in [sealed(newer), sealed(vec![255])] {
            self.add(path, "of a newer format", malformed("TOKEN_VERSION"), make(text));
        }
        let of_stream = format!(r#"{{"stream_arn":"{arn}","active":[],"shards":[]}}"#);
        for text in [sealed(vec![1, 2, 3]), of_stream, r#"{"shards":{}}"#.to_owned()] {
            self.add(path, clip(&text), malformed("TOKEN_WRONG_KIND"), make(text));
        }
        let unlisted = unlisted(bed);
        let nowhere = bed.shard.stream.to_string().replace("Orders", "Nowhere");
        let bloop = |stream: &str, shard: &str| {
            format!(r#"{{"stream_arn":"{stream}","shard_id":"{shard}"}}"#)
        };
        let (id, gone) =
            (bed.shard.shard.as_str(), Expect::Refused(Code::OutOfRange, "RECORDS_TRIMMED"));
        let numbered = format!(
            r#"{{"stream_arn":"{arn}","shard_id":"{id}","iterator_type":"after_sequence","sequence_number":"{}"}}"#,
            bed.number(3)
        );
        self.add(path, "of bloop", Expect::Granted, make(numbered));
        let strangers = [
            ("another shard's", bed.token(&bed.other, 4), Expect::Granted),
            ("another stream's", bed.token(&bed.foreign, 4), Expect::Granted),
            ("an expired shard's", unlisted, gone),
            ("an unknown shard's of bloop", bloop(arn, "x"), gone),
            ("an unknown stream's of bloop", bloop(&nowhere, id), NO_STREAM),
        ];
        for (what, text, alone) in strangers {
            let expect = if fixed == Fixed::Shard { malformed("TOKEN_MISMATCH") } else { alone };
            self.add(path, what, expect, make(text));
        }
    }

    /// A page token; `good` is one of this call, `others` are of other calls and requests.
    pub fn page_token(
        &mut self,
        path: &str,
        good: &str,
        others: &[String],
        make: impl Fn(String) -> Call,
    ) {
        self.add(path, "good", Expect::Granted, make(good.to_owned()));
        let bytes = URL_SAFE_NO_PAD.decode(good).expect("our own");
        for bit in (0..bytes.len() * 8).step_by(5) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let text = URL_SAFE_NO_PAD.encode(damaged);
            self.add(path, format!("bit {bit} flipped"), malformed("TOKEN_MALFORMED"), make(text));
        }
        let nonsense = [
            "nonsense".into(),
            "é".into(),
            "A".repeat(60_000),
            "AAAA".into(),
            good[1..].to_owned(),
        ];
        for text in nonsense.iter().chain(others) {
            self.add(path, clip(text), malformed("TOKEN_MALFORMED"), make(text.clone()));
        }
    }
}

/// A token of bytes that nobody damaged.
pub fn sealed(mut bytes: Vec<u8>) -> String {
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of a shard that is not listed.
fn unlisted(bed: &Bed) -> String {
    use shardstream::model::{Checkpoint, Position, ShardId};
    let shard = ShardId::parse("shardId-00000001400000000000-0badf00d").expect("an id");
    let checkpoint = Checkpoint::new(Position::AfterSequenceNumber(bed.number(0)), None);
    shardstream::token::ShardToken { stream: bed.shard.stream.clone(), shard, checkpoint }.encode()
}

fn clip(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?} of {} bytes", text.len())
}
