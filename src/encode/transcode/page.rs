//! Transcodes a page: its records and the iterator of the next page.

use prost::Message;

use super::json_scanner::Scanner;
use super::record::{record, unknown};
use super::{ParsedContent, ParsedEntry, Refused, Transcoded};
use crate::encode::record_message;
use crate::model::{PageEntry, RawPage, Reread};

/// The text around one record that makes a page of it.
const BEFORE: &str = r#"{"Records":["#;
const BEHIND: &str = "]}";

/// About the least that a record takes in a page, in bytes: what AWS sends for a deleted item with
/// a short key.
const LEAST_RECORD: usize = 256;

/// Transcodes all records of a page, using the slow reader for those that are refused.
pub(crate) fn page(raw: &RawPage) -> Result<Transcoded, Refused> {
    // Checked once for the whole body, so that no string has to be checked again.
    let text = std::str::from_utf8(&raw.body).map_err(|_| Refused)?;
    let mut scan = Scanner::new(text);
    let mut read =
        PageWriter { reread: raw.reread, slab: Vec::new(), entries: Vec::new(), rereads: 0 };
    let (mut records, mut next) = (None, None);
    scan.object(|scan, key| match key.plain()? {
        b"Records" if records.is_none() => {
            records = Some(!scan.is_null()?);
            if records == Some(true) { read.records(scan, text.len()) } else { Ok(()) }
        }
        b"NextShardIterator" if next.is_none() => {
            next = Some(if scan.is_null()? { None } else { Some(iterator(scan)?) });
            Ok(())
        }
        b"Records" | b"NextShardIterator" => Err(Refused),
        _ => unknown(scan),
    })?;
    scan.end()?;
    let next = next.flatten().filter(|iterator| !iterator.is_empty());
    if records != Some(true) && next.is_none() {
        // This may be the end of a shard or no page at all: the slow reader decides.
        return Err(Refused);
    }
    let PageWriter { slab, entries, rereads, .. } = read;
    Ok(Transcoded { slab, entries, next_iterator: next, reread: rereads })
}

fn iterator(scan: &mut Scanner<'_>) -> Result<String, Refused> {
    String::from_utf8(scan.text()?.meaning()?.into_owned()).map_err(|_| Refused)
}

struct PageWriter {
    reread: Reread,
    slab: Vec<u8>,
    entries: Vec<ParsedEntry>,
    rereads: usize,
}

impl PageWriter {
    fn records(&mut self, scan: &mut Scanner<'_>, bytes: usize) -> Result<(), Refused> {
        scan.array(|scan| {
            if self.slab.capacity() == 0 {
                // Reserves enough: protobuf is shorter than JSON.
                self.slab.reserve(bytes);
                self.entries.reserve((bytes / LEAST_RECORD).min(1_000));
            }
            let (start, begin) = (self.slab.len(), scan.clone());
            let found = record(scan, &mut self.slab).or_else(|Refused| {
                self.slab.truncate(start);
                *scan = begin;
                self.slowly(scan.any()?)
            })?;
            self.entries.push(found);
            Ok(())
        })
    }

    /// Reads one record with the slow reader.
    fn slowly(&mut self, record: &str) -> Result<ParsedEntry, Refused> {
        self.rereads += 1;
        let page =
            (self.reread)([BEFORE, record, BEHIND].concat().as_bytes()).map_err(|_| Refused)?;
        let [entry] = <[PageEntry; 1]>::try_from(page.entries).map_err(|_| Refused)?;
        let (sequence_number, created_at) = (entry.sequence_number(), entry.created_at());
        let what = match entry {
            PageEntry::Unreadable(unreadable) => ParsedContent::Unreadable(unreadable.cause),
            PageEntry::Record(record) => {
                let message = record_message::change_record(*record);
                let (start, length) = (self.slab.len(), message.encoded_len());
                record_message::write(&message, length, &mut self.slab);
                ParsedContent::Encoded { at: start..self.slab.len(), length }
            }
        };
        Ok(ParsedEntry { sequence_number, created_at, what })
    }
}
