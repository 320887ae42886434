//! Transcodes a page: its records and the iterator of the next page.

use prost::Message;

use super::json_scanner::Scanner;
use super::record::{record, unknown};
use super::shapes::{SLACK, Shapes};
use super::{ParsedContent, ParsedEntry, Refused, Transcoded};
use crate::encode::record_message;
use crate::model::{PageEntry, RawPage, Reread};

/// The text around one record that makes a page of it.
const BEFORE: &str = r#"{"Records":["#;
const BEHIND: &str = "]}";

/// About the least that a record takes in a page, in bytes: what AWS sends for a deleted item with
/// a short key.
const LEAST_RECORD: usize = 256;

/// Transcodes all records of a page, using the slow reader for those that are refused. Those whose
/// shape is known are written by it, and what is learned of others is added to `shapes`.
pub(crate) fn page(raw: &RawPage, shapes: Option<&mut Shapes>) -> Result<Transcoded, Refused> {
    // Checked once for the whole body, so that no string has to be checked again.
    let text = simdutf8::basic::from_utf8(&raw.body).map_err(|_| Refused)?;
    let mut scan = Scanner::new(text);
    let mut read = PageWriter::new(raw.reread, shapes);
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
    let PageWriter { slab, entries, slow, known, .. } = read;
    Ok(Transcoded { slab, entries, next_iterator: next, reread: slow.count, known })
}

fn iterator(scan: &mut Scanner<'_>) -> Result<String, Refused> {
    String::from_utf8(scan.text()?.meaning()?.into_owned()).map_err(|_| Refused)
}

struct PageWriter<'s> {
    slow: SlowReader,
    /// The shapes known of the page's stream.
    shapes: Option<&'s mut Shapes>,
    /// The records, and behind them, while shapes are tried, zeros to write into.
    slab: Vec<u8>,
    /// Where the records end.
    end: usize,
    /// A record that no shape fitted.
    other: Vec<u8>,
    entries: Vec<ParsedEntry>,
    /// How many records were of a known shape.
    known: usize,
}

impl<'s> PageWriter<'s> {
    fn new(reread: Reread, shapes: Option<&'s mut Shapes>) -> Self {
        Self {
            slow: SlowReader { reread, count: 0 },
            shapes,
            slab: Vec::new(),
            end: 0,
            other: Vec::new(),
            entries: Vec::new(),
            known: 0,
        }
    }

    fn records(&mut self, scan: &mut Scanner<'_>, bytes: usize) -> Result<(), Refused> {
        let mut skipped = 0;
        scan.array(|scan| {
            if self.entries.capacity() == 0 {
                self.begin(bytes);
            }
            let entry = if self.tries_shapes() {
                self.shaped(scan)?
            } else {
                skipped += 1;
                self.slab.truncate(self.end);
                let entry = self.slow.record(scan, &mut self.slab)?;
                self.end = self.slab.len();
                entry
            };
            self.entries.push(entry);
            Ok(())
        })?;
        self.slab.truncate(self.end);
        if let Some(shapes) = &mut self.shapes {
            shapes.skip(skipped);
        }
        Ok(())
    }

    /// Makes enough room: protobuf is shorter than JSON.
    fn begin(&mut self, bytes: usize) {
        self.entries.reserve((bytes / LEAST_RECORD).clamp(1, 1_000));
        if self.tries_shapes() {
            self.slab = vec![0; bytes + SLACK];
        } else {
            self.slab.reserve(bytes);
        }
    }

    fn tries_shapes(&self) -> bool {
        self.shapes.as_ref().is_some_and(|shapes| shapes.is_tried())
    }

    /// Reads a record by its shape; if that is not known, by the transcoder, and learns it.
    #[inline(always)]
    fn shaped(&mut self, scan: &mut Scanner<'_>) -> Result<ParsedEntry, Refused> {
        let shapes = self.shapes.as_mut().ok_or(Refused)?;
        let json = scan.rest();
        if let Some(known) = shapes.run(json, &mut self.slab, self.end) {
            self.end = known.end;
            self.known += 1;
            scan.go_on(known.rest);
            return Ok(known.entry);
        }
        let before = self.slow.count;
        self.other.clear();
        let mut entry = self.slow.record(scan, &mut self.other)?;
        if self.slow.count == before {
            shapes.learn(&json[..json.len() - scan.rest().len()]);
        }
        let end = self.end + self.other.len();
        if self.slab.len() < end + SLACK {
            self.slab.resize(end + SLACK, 0);
        }
        self.slab[self.end..end].copy_from_slice(&self.other);
        if let ParsedContent::Encoded { at, .. } = &mut entry.what {
            *at = at.start + self.end..at.end + self.end;
        }
        self.end = end;
        Ok(entry)
    }
}

/// Reads what the transcoder refuses.
struct SlowReader {
    reread: Reread,
    /// How many records it had to read.
    count: usize,
}

impl SlowReader {
    /// Reads one record by the transcoder, or else by the slow reader, and appends it to `out`.
    fn record(
        &mut self,
        scan: &mut Scanner<'_>,
        out: &mut Vec<u8>,
    ) -> Result<ParsedEntry, Refused> {
        let (start, begin) = (out.len(), scan.clone());
        record(scan, out).or_else(|Refused| {
            out.truncate(start);
            *scan = begin;
            self.slowly(scan.any()?, out)
        })
    }

    fn slowly(&mut self, record: &str, out: &mut Vec<u8>) -> Result<ParsedEntry, Refused> {
        self.count += 1;
        let page =
            (self.reread)([BEFORE, record, BEHIND].concat().as_bytes()).map_err(|_| Refused)?;
        let [entry] = <[PageEntry; 1]>::try_from(page.entries).map_err(|_| Refused)?;
        let (sequence_number, created_at) = (entry.sequence_number(), entry.created_at());
        let what = match entry {
            PageEntry::Unreadable(unreadable) => ParsedContent::Unreadable(unreadable.cause),
            PageEntry::Record(record) => {
                let message = record_message::change_record(*record);
                let (start, length) = (out.len(), message.encoded_len());
                record_message::write(&message, length, out);
                ParsedContent::Encoded { at: start..out.len(), length }
            }
        };
        Ok(ParsedEntry { sequence_number, created_at, what })
    }
}
