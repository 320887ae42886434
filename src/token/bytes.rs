//! The parts of a token as bytes: numbers as varints, two digits to a byte, and AWS's names without
//! the parts they share.

use crate::model::{SequenceNumber, ShardId, StreamArn, Timestamp};

/// Writes a token's bytes.
#[derive(Default)]
pub(super) struct TokenWriter {
    pub(super) bytes: Vec<u8>,
}

/// Reads a token's bytes; methods return `None` for bytes that [`TokenWriter`] does not write.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

/// The AWS partitions that are written as one byte.
const PARTITIONS: [&str; 3] = ["aws", "aws-cn", "aws-us-gov"];

impl TokenWriter {
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

    /// Zigzag encoding, so that small negative numbers stay short.
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

    /// A sequence number in as few bytes as possible, leading zeros kept.
    pub(super) fn number(&mut self, number: &SequenceNumber) {
        let digits = number.as_str();
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        let value = base_256(&digits[zeros..]);
        // Few numbers begin with a zero and none takes more than 17 bytes: both lengths fit into
        // one byte of a varint.
        self.unsigned((zeros as u64) << 5 | value.len() as u64);
        self.bytes.extend_from_slice(&value);
    }

    /// A shard's id after another's, in rising order: the creation time as the difference to the
    /// one before.
    pub(super) fn shard_behind(&mut self, before: &mut u64, shard: &ShardId) {
        match aws_form(shard).filter(|(millis, _)| (*before..1 << 62).contains(millis)) {
            Some((millis, hash)) => {
                // The lowest bit says which of the two forms follows.
                self.unsigned((millis - *before) << 1 | 1);
                self.bytes.extend_from_slice(&hash.to_be_bytes());
                *before = millis;
            }
            None => {
                self.unsigned((shard.as_str().len() as u64) << 1);
                self.bytes.extend_from_slice(shard.as_str().as_bytes());
            }
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
        self.text(arn.resource());
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

    pub(super) fn number(&mut self) -> Option<SequenceNumber> {
        let head = self.unsigned()?;
        let (zeros, length) = (usize::try_from(head >> 5).ok()?, (head & 31) as usize);
        let (value, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        let digits = base_10(value);
        (zeros + digits.len() <= 40)
            .then(|| SequenceNumber::parse(&format!("{:0<zeros$}{digits}", "")).ok())?
    }

    pub(super) fn shard_behind(&mut self, before: &mut u64) -> Option<ShardId> {
        let head = self.unsigned()?;
        if head & 1 == 0 {
            let (text, rest) = self.bytes.split_at_checked(usize::try_from(head >> 1).ok()?)?;
            self.bytes = rest;
            return ShardId::parse(std::str::from_utf8(text).ok()?).ok();
        }
        let (hash, rest) = self.bytes.split_first_chunk::<4>()?;
        self.bytes = rest;
        *before = before.checked_add(head >> 1)?;
        ShardId::parse(&aws_shard_id(*before, u32::from_be_bytes(*hash))).ok()
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
        StreamArn::parse(&format!(
            "arn:{partition}:dynamodb:{region}:{account:012}:table/{table}/stream/{label}"
        ))
        .ok()
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

/// Partition, account and creation time (milliseconds) of an ARN in AWS's usual form; `None` if
/// these would not give the same ARN again.
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

/// Decimal digits as the number's bytes, most significant first; empty for zero.
fn base_256(digits: &str) -> Vec<u8> {
    let mut value: Vec<u8> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut value {
            carry += u16::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            value.push(carry as u8);
        }
    }
    value.reverse();
    value
}

/// The reverse of [`base_256`].
fn base_10(value: &[u8]) -> String {
    let mut digits: Vec<u8> = Vec::new();
    for byte in value {
        let mut carry = u16::from(*byte);
        for digit in &mut digits {
            carry += u16::from(*digit) << 8;
            *digit = (carry % 10) as u8;
            carry /= 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

/// The creation time (milliseconds) and hash of a shard id in AWS's form; `None` for other forms.
fn aws_form(shard: &ShardId) -> Option<(u64, u32)> {
    let (millis, hash) = shard.as_str().strip_prefix("shardId-")?.split_once('-')?;
    let (millis, hash) = (millis.parse().ok()?, u32::from_str_radix(hash, 16).ok()?);
    (aws_shard_id(millis, hash) == shard.as_str()).then_some((millis, hash))
}

fn aws_shard_id(millis: u64, hash: u32) -> String {
    format!("shardId-{millis:020}-{hash:08x}")
}
