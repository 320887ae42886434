//! What differs from record to record in its envelope, and how `Meta` is made of it and of what
//! does not differ.

use super::constants::Rendered;
use super::lengths::put_varint;
use super::step::WIDTH;
use super::text::{plain_text, same_bytes, window};
use crate::encode::transcode::json_scanner::Scanner;
use crate::encode::transcode::meta::{META, inner, tag, write_time};
use crate::encode::transcode::protobuf::varint_len;
use crate::encode::transcode::record;
use crate::model::{SequenceNumber, Timestamp};

/// The longest event id: with it the length of `Change` takes one byte, whatever its constants are.
const LONGEST_ID: usize = 48;

/// The longest size that is read here, in digits.
const LONGEST_SIZE: usize = 15;

/// How much is copied at once of what is short.
const BLOCK: usize = 48;

/// A text of the JSON.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    at: usize,
    length: usize,
}

/// The fields of a record that were met so far.
#[derive(Debug)]
pub(super) struct Variables<'a> {
    json: &'a [u8],
    id: Place,
    number: Place,
    size: Option<u64>,
    is_dated: bool,
}

/// The last creation time that was read: that of most records is that of the record before.
#[derive(Clone, Debug, Default)]
pub(super) struct LastTime {
    /// As written in JSON, and a bit for each byte of it.
    text: [u8; WIDTH],
    mask: u32,
    length: usize,
    time: Option<Timestamp>,
    /// Its field of `Meta`.
    field: [u8; WIDTH],
    field_len: usize,
}

impl<'a> Variables<'a> {
    /// None yet of this record.
    #[inline(always)]
    pub(super) fn new(json: &'a [u8]) -> Self {
        Self { json, id: Place::default(), number: Place::default(), size: None, is_dated: false }
    }

    /// Reads the event's id; returns where its closing quote is.
    #[inline(always)]
    pub(super) fn event_id(&mut self, at: usize) -> Option<usize> {
        let length = plain_text(self.json, at)?.len();
        if length > LONGEST_ID {
            return None;
        }
        self.id = Place { at, length };
        Some(at + length)
    }

    /// Reads the sequence number; returns where its closing quote is.
    #[inline(always)]
    pub(super) fn sequence_number(&mut self, at: usize) -> Option<(usize, SequenceNumber)> {
        let digits = plain_text(self.json, at)?;
        self.number = Place { at, length: digits.len() };
        Some((at + digits.len(), SequenceNumber::parse_bytes(digits).ok()?))
    }

    /// Reads the size; returns where it ends.
    #[inline(always)]
    pub(super) fn size(&mut self, at: usize) -> Option<usize> {
        let mut end = [0; WIDTH];
        let window = window(self.json, at, &mut end);
        let (mut size, mut length) = (0, 0);
        while let digit @ b'0'..=b'9' = window[length] {
            size = size * 10 + u64::from(digit - b'0');
            length += 1;
            if length > LONGEST_SIZE {
                return None;
            }
        }
        if length == 0 || window[0] == b'0' && length > 1 {
            return None;
        }
        self.size = Some(size);
        Some(at + length)
    }

    /// Reads the creation time; returns where it ends.
    #[inline(always)]
    pub(super) fn created_at(&mut self, at: usize, last: &mut LastTime) -> Option<usize> {
        let mut end = [0; WIDTH];
        let window = window(self.json, at, &mut end);
        let is_same = same_bytes(window, &last.text) & last.mask == last.mask;
        // Another digit would make it another number.
        if !is_same || last.mask == 0 || is_number(*window.get(last.length)?) {
            last.read(self.json.get(at..)?)?;
        }
        self.is_dated = true;
        Some(at + last.length)
    }

    /// The creation time.
    #[inline(always)]
    pub(super) fn time(&self, last: &LastTime) -> Option<Timestamp> {
        last.time.filter(|_| self.is_dated)
    }

    /// Writes the field `meta` of the record; returns where it ends.
    #[inline(always)]
    pub(super) fn write(
        &self,
        constants: &Rendered,
        last: &LastTime,
        slab: &mut [u8],
        at: usize,
    ) -> Option<usize> {
        let text_len = |text: Place| if text.length == 0 { 0 } else { 2 + text.length };
        let created_at = if self.is_dated { last.field_len } else { 0 };
        let change = text_len(self.id) + constants.behind_id.len();
        let length = created_at
            + 2
            + change
            + text_len(self.number)
            + self.size.map_or(0, |size| 1 + varint_len(size))
            + constants.behind_size.len();
        *slab.get_mut(at)? = META;
        let mut at = put_varint(slab, at + 1, length as u64)?;
        *slab.get_mut(at..)?.first_chunk_mut::<WIDTH>()? = last.field;
        at += created_at;
        *slab.get_mut(at..)?.first_chunk_mut()? = [tag::CHANGE, change as u8];
        at = put_text(slab, at + 2, inner::TEXT_1, self.json, self.id)?;
        at = constants.behind_id.put(slab, at)?;
        at = put_text(slab, at, tag::SEQUENCE_NUMBER, self.json, self.number)?;
        if let Some(size) = self.size {
            *slab.get_mut(at)? = tag::SIZE_BYTES;
            at = put_varint(slab, at + 1, size)?;
        }
        constants.behind_size.put(slab, at)
    }
}

impl LastTime {
    /// Reads a time that is another than the last.
    #[cold]
    fn read(&mut self, json: &[u8]) -> Option<()> {
        let mut scan = Scanner::over(json);
        let mut time = None;
        record::time(&mut scan, &mut time).ok()?;
        let length = json.len() - scan.rest().len();
        let text = json.get(..length).filter(|text| text.len() < WIDTH)?;
        // Not `null`, which counts as no field at all.
        if !is_number(*text.first()?) {
            return None;
        }
        let mut field = Vec::with_capacity(WIDTH);
        if let Some(time) = time {
            write_time(&mut field, time);
        }
        *self = Self { length, time, field_len: field.len(), ..Self::default() };
        self.mask = (1 << length) - 1;
        self.text[..length].copy_from_slice(text);
        self.field.get_mut(..field.len())?.copy_from_slice(&field);
        Some(())
    }
}

/// Whether a byte may be part of a number.
#[inline(always)]
fn is_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Writes a text of less than 128 bytes of the JSON as a field, unless it is empty; returns where
/// it ends.
#[inline(always)]
fn put_text(slab: &mut [u8], at: usize, tag: u8, json: &[u8], text: Place) -> Option<usize> {
    let Place { at: from, length } = text;
    if length == 0 {
        return Some(at);
    }
    *slab.get_mut(at..)?.first_chunk_mut()? = [tag, length as u8];
    let (at, from) = (at + 2, json.get(from..)?);
    match from.first_chunk::<BLOCK>() {
        // All of it and some more, which is written over by what follows.
        Some(block) if length <= BLOCK => *slab.get_mut(at..)?.first_chunk_mut()? = *block,
        _ => slab.get_mut(at..at + length)?.copy_from_slice(from.get(..length)?),
    }
    Some(at + length)
}
