//! What is known of a change beside its item: `Meta`, all of whose lengths are known before it is written.

use super::wire::{field, field_len, head, varint, varint_len};
use crate::encode::message::{change_type, view_type};
use crate::model::{SequenceNumber, Timestamp};
use crate::pb;

/// The tag of `ChangeRecord.meta`.
const META: u8 = 0x22;

/// The tags of `Meta`'s fields.
mod tag {
    pub const CREATED_AT: u8 = 0x0a;
    pub const CHANGE: u8 = 0x12;
    pub const SEQUENCE_NUMBER: u8 = 0x1a;
    pub const SIZE_BYTES: u8 = 0x20;
    pub const STREAM_VIEW_TYPE: u8 = 0x28;
    pub const USER_IDENTITY: u8 = 0x32;
    pub const AWS_REGION: u8 = 0x3a;
    pub const EVENT_SOURCE: u8 = 0x42;
}

/// The tags of the fields of `Change`, and of the first two of `Timestamp` and `UserIdentity`.
mod inner {
    pub const TEXT_1: u8 = 0x0a;
    pub const TEXT_2: u8 = 0x12;
    pub const TEXT_3: u8 = 0x1a;
    pub const TEXT_4: u8 = 0x22;
    pub const NUMBER_1: u8 = 0x08;
    pub const NUMBER_2: u8 = 0x10;
}

/// What a record has beside its images, as it stands in the text.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    pub event_id: Option<&'a str>,
    pub event_name: Option<&'a str>,
    pub event_version: Option<&'a str>,
    pub event_source: Option<&'a str>,
    pub aws_region: Option<&'a str>,
    pub user_identity: Option<Identity<'a>>,
    pub sequence_number: Option<SequenceNumber>,
    pub created_at: Option<Timestamp>,
    pub size_bytes: Option<i64>,
    pub stream_view_type: Option<&'a str>,
}

/// Who made the change.
#[derive(Debug, Default)]
pub struct Identity<'a> {
    pub kind: Option<&'a str>,
    pub principal_id: Option<&'a str>,
}

impl Envelope<'_> {
    /// Appends the field `meta` of a record.
    pub fn write(&self, out: &mut Vec<u8>) {
        let kind = change_type(self.event_name);
        let name = self.event_name.filter(|_| kind == pb::ChangeType::Unspecified);
        let change = text_len(self.event_id) + number_len(kind as u64) + text_len(self.event_version) + text_len(name);
        let created_at = self.created_at.map(|time| (time.seconds() as u64, u64::from(time.nanos())));
        let created_len = created_at.map(|(seconds, nanos)| number_len(seconds) + number_len(nanos));
        let identity = self.user_identity.as_ref();
        let identity_len = identity.map(|who| text_len(who.kind) + text_len(who.principal_id));
        let number = self.sequence_number.as_ref().map(SequenceNumber::as_str);
        let view = view_type(self.stream_view_type) as u64;

        let length = created_len.map_or(0, field_len)
            + field_len(change)
            + text_len(number)
            + self.size_bytes.map_or(0, |size| 1 + varint_len(size as u64))
            + number_len(view)
            + identity_len.map_or(0, field_len)
            + text_len(self.aws_region)
            + text_len(self.event_source);
        head(out, META, length);
        if let (Some((seconds, nanos)), Some(length)) = (created_at, created_len) {
            head(out, tag::CREATED_AT, length);
            put_number(out, inner::NUMBER_1, seconds);
            put_number(out, inner::NUMBER_2, nanos);
        }
        head(out, tag::CHANGE, change);
        put_text(out, inner::TEXT_1, self.event_id);
        put_number(out, inner::NUMBER_2, kind as u64);
        put_text(out, inner::TEXT_3, self.event_version);
        put_text(out, inner::TEXT_4, name);
        put_text(out, tag::SEQUENCE_NUMBER, number);
        if let Some(size) = self.size_bytes {
            // `optional`: a zero is told.
            out.push(tag::SIZE_BYTES);
            varint(out, size as u64);
        }
        put_number(out, tag::STREAM_VIEW_TYPE, view);
        if let (Some(who), Some(length)) = (identity, identity_len) {
            head(out, tag::USER_IDENTITY, length);
            put_text(out, inner::TEXT_1, who.kind);
            put_text(out, inner::TEXT_2, who.principal_id);
        }
        put_text(out, tag::AWS_REGION, self.aws_region);
        put_text(out, tag::EVENT_SOURCE, self.event_source);
    }
}

/// As everywhere in proto3, what is empty or zero is left out.
fn text_len(text: Option<&str>) -> usize {
    text.filter(|text| !text.is_empty()).map_or(0, |text| field_len(text.len()))
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        field(out, tag, text.as_bytes());
    }
}

fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + varint_len(number) }
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number != 0 {
        out.push(tag);
        varint(out, number);
    }
}
