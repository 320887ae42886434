//! One record.

use super::meta::{Envelope, Identity};
use super::scan::Scanner;
use super::wire::{close, open};
use super::{Found, Refused, What, value};
use crate::encode::RECORDS_TAG;
use crate::model::{SequenceNumber, Timestamp};

/// The tags of `ChangeRecord`'s fields, `meta` aside.
const KEY: u8 = 0x0a;
const NEW_IMAGE: u8 = 0x12;
const OLD_IMAGE: u8 = 0x1a;

/// How many brackets the value of an unknown field may open.
const MOST_UNKNOWN: usize = 100;

/// Which fields there were: none may come twice, as the last one would have to win.
#[derive(Default)]
struct Seen(u32);

impl Seen {
    fn first(&mut self, bit: u32) -> Result<(), Refused> {
        let before = self.0;
        self.0 |= 1 << bit;
        if self.0 == before { Err(Refused) } else { Ok(()) }
    }
}

/// Reads a record and appends it. What a refused one has appended is the caller's to remove.
pub fn record(scan: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<Found, Refused> {
    let start = out.len();
    // Most records take from 128 bytes to 16 KiB.
    let message = open(out, RECORDS_TAG, 2);
    let mut envelope = Envelope::default();
    let mut seen = Seen::default();
    scan.object(|scan, key| match key.plain()? {
        "eventID" => seen.first(0).and_then(|()| text(scan, &mut envelope.event_id)),
        "eventName" => seen.first(1).and_then(|()| text(scan, &mut envelope.event_name)),
        "eventVersion" => seen.first(2).and_then(|()| text(scan, &mut envelope.event_version)),
        "eventSource" => seen.first(3).and_then(|()| text(scan, &mut envelope.event_source)),
        "awsRegion" => seen.first(4).and_then(|()| text(scan, &mut envelope.aws_region)),
        "dynamodb" => seen.first(5).and_then(|()| change(scan, &mut envelope, out)),
        "userIdentity" => seen.first(6).and_then(|()| identity(scan, &mut envelope)),
        _ => unknown(scan),
    })?;
    envelope.write(out);
    let length = close(out, message);
    let what = What::Encoded { at: start..out.len(), length };
    Ok(Found { sequence_number: envelope.sequence_number, created_at: envelope.created_at, what })
}

fn change<'a>(scan: &mut Scanner<'a>, envelope: &mut Envelope<'a>, out: &mut Vec<u8>) -> Result<(), Refused> {
    if scan.is_null()? {
        return Ok(());
    }
    let mut seen = Seen::default();
    scan.object(|scan, key| match key.plain()? {
        "ApproximateCreationDateTime" => seen.first(0).and_then(|()| time(scan, &mut envelope.created_at)),
        "Keys" => seen.first(1).and_then(|()| image(scan, out, KEY)),
        "NewImage" => seen.first(2).and_then(|()| image(scan, out, NEW_IMAGE)),
        "OldImage" => seen.first(3).and_then(|()| image(scan, out, OLD_IMAGE)),
        "SequenceNumber" => seen.first(4).and_then(|()| number(scan, &mut envelope.sequence_number)),
        "SizeBytes" => seen.first(5).and_then(|()| size(scan, &mut envelope.size_bytes)),
        "StreamViewType" => seen.first(6).and_then(|()| text(scan, &mut envelope.stream_view_type)),
        _ => unknown(scan),
    })
}

fn identity<'a>(scan: &mut Scanner<'a>, envelope: &mut Envelope<'a>) -> Result<(), Refused> {
    if scan.is_null()? {
        return Ok(());
    }
    let (mut who, mut seen) = (Identity::default(), Seen::default());
    scan.object(|scan, key| match key.plain()? {
        "Type" => seen.first(0).and_then(|()| text(scan, &mut who.kind)),
        "PrincipalId" => seen.first(1).and_then(|()| text(scan, &mut who.principal_id)),
        _ => unknown(scan),
    })?;
    envelope.user_identity = Some(who);
    Ok(())
}

fn image(scan: &mut Scanner<'_>, out: &mut Vec<u8>, tag: u8) -> Result<(), Refused> {
    if scan.is_null()? { Ok(()) } else { value::item(scan, out, tag, 0) }
}

/// A text or null. AWS writes none of these with escapes.
fn text<'a>(scan: &mut Scanner<'a>, into: &mut Option<&'a str>) -> Result<(), Refused> {
    if !scan.is_null()? {
        *into = Some(scan.text()?.plain()?);
    }
    Ok(())
}

fn number(scan: &mut Scanner<'_>, into: &mut Option<SequenceNumber>) -> Result<(), Refused> {
    if !scan.is_null()? {
        *into = Some(SequenceNumber::parse(scan.text()?.plain()?).map_err(|_| Refused)?);
    }
    Ok(())
}

/// Seconds since 1970, in any form of a JSON number; out of range is as if left out.
fn time(scan: &mut Scanner<'_>, into: &mut Option<Timestamp>) -> Result<(), Refused> {
    if !scan.is_null()? {
        let seconds: f64 = scan.number()?.parse().map_err(|_| Refused)?;
        if !seconds.is_finite() {
            return Err(Refused);
        }
        *into = Timestamp::from_secs_f64(seconds);
    }
    Ok(())
}

/// A whole number, written as one.
fn size(scan: &mut Scanner<'_>, into: &mut Option<i64>) -> Result<(), Refused> {
    if !scan.is_null()? {
        *into = Some(scan.number()?.parse().map_err(|_| Refused)?);
    }
    Ok(())
}

/// A field that AWS had not when this was written. One that holds very much is left to the slow reader, which has bounds of
/// its own for what lies in one another.
pub fn unknown(scan: &mut Scanner<'_>) -> Result<(), Refused> {
    if scan.peek()? == b'"' {
        return scan.text()?.meaning().map(drop);
    }
    let inside = scan.any()?.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if inside > MOST_UNKNOWN { Err(Refused) } else { Ok(()) }
}
