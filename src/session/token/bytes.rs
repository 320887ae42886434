//! The pieces of a token as bytes: numbers as varints, digits two to a byte, and AWS's names without what they share.

use crate::model::{SequenceNumber, ShardId, StreamArn, Timestamp};

/// Writes a token's bytes.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

/// Reads a token's bytes; `None` on anything that was not written by [`Writer`].
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

/// The partitions that have a byte of their own.
const PARTITIONS: [&str; 3] = ["aws", "aws-cn", "aws-us-gov"];

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Zigzag, so that small negative numbers stay short.
    pub(super) fn signed(&mut self, value: i64) {
        self.unsigned(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.unsigned(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// ASCII digits, leading zeros kept.
    pub(super) fn digits(&mut self, digits: &str) {
        self.unsigned(digits.len() as u64);
        for pair in digits.as_bytes().chunks(2) {
            let low = pair.get(1).map_or(0, |digit| digit - b'0');
            self.byte((pair[0] - b'0') << 4 | low);
        }
    }

    pub(super) fn arn(&mut self, arn: &StreamArn) {
        let Some((partition, account, millis)) = common_form(arn) else {
            self.byte(0);
            return self.text(arn.as_str());
        };
        self.byte(1 + partition);
        self.text(arn.region());
        self.unsigned(account);
        self.text(arn.table().as_str());
        self.signed(millis);
    }

    pub(super) fn shard(&mut self, shard: &ShardId) {
        match aws_form(shard) {
            Some((millis, hash)) => {
                self.byte(1);
                self.unsigned(millis);
                self.unsigned(u64::from(hash));
            }
            None => {
                self.byte(0);
                self.text(shard.as_str());
            }
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    pub(super) fn digits(&mut self) -> Option<SequenceNumber> {
        let length = usize::try_from(self.unsigned()?).ok().filter(|length| *length <= 40)?;
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let pair = self.byte()?;
            text.push(char::from(b'0' + (pair >> 4)));
            if text.len() < length {
                text.push(char::from(b'0' + (pair & 0xf)));
            }
        }
        SequenceNumber::parse(&text).ok()
    }

    pub(super) fn arn(&mut self) -> Option<StreamArn> {
        let form = self.byte()?;
        if form == 0 {
            return StreamArn::parse(self.text()?).ok();
        }
        let partition = PARTITIONS.get(usize::from(form) - 1)?;
        let region = self.text()?;
        let account = self.unsigned()?;
        let table = self.text()?;
        let label = label(self.signed()?)?;
        StreamArn::parse(&format!("arn:{partition}:dynamodb:{region}:{account:012}:table/{table}/stream/{label}")).ok()
    }

    pub(super) fn shard(&mut self) -> Option<ShardId> {
        match self.byte()? {
            0 => ShardId::parse(self.text()?).ok(),
            1 => {
                let millis = self.unsigned()?;
                let hash = u32::try_from(self.unsigned()?).ok()?;
                ShardId::parse(&aws_shard_id(millis, hash)).ok()
            }
            _ => None,
        }
    }
}

/// Partition, account and label of an ARN in AWS's usual form: only if it can be put together again to the same text.
fn common_form(arn: &StreamArn) -> Option<(u8, u64, i64)> {
    let mut parts = arn.as_str().split(':');
    let partition = parts.nth(1)?;
    let partition = PARTITIONS.iter().position(|known| *known == partition)?;
    let account = parts.nth(2).filter(|account| account.len() == 12)?.parse().ok()?;
    let millis = arn.created()?.millis();
    (label(millis)? == arn.label()).then_some((u8::try_from(partition).ok()?, account, millis))
}

/// A label as AWS writes it: `2016-10-23T07:26:33.312`.
fn label(millis: i64) -> Option<String> {
    let time = Timestamp::from_millis(millis)?;
    let text = jiff::Timestamp::from_millisecond(time.millis()).ok()?;
    Some(format!("{text:.3}").trim_end_matches('Z').to_owned())
}

/// The numbers of a shard id in AWS's form.
fn aws_form(shard: &ShardId) -> Option<(u64, u32)> {
    let (millis, hash) = shard.as_str().strip_prefix("shardId-")?.split_once('-')?;
    let (millis, hash) = (millis.parse().ok()?, u32::from_str_radix(hash, 16).ok()?);
    (aws_shard_id(millis, hash) == shard.as_str()).then_some((millis, hash))
}

fn aws_shard_id(millis: u64, hash: u32) -> String {
    format!("shardId-{millis:020}-{hash:08x}")
}
