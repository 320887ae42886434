//! Follows the steps of a shape through a record.

use super::graph::{Graph, Node};
use super::lengths::{OpenLengths, put_varint};
use super::step::{Step, Then, WIDTH};
use super::text::{base64, same_bytes, text, window};
use super::variables::{LastTime, Variables};
use super::{Known, Shapes};
use crate::encode::RECORDS_TAG;
use crate::encode::transcode::protobuf::varint_len;
use crate::encode::transcode::{ParsedContent, ParsedEntry};
use crate::model::SequenceNumber;

/// The room before a record's message: its tag, and a length of two bytes.
const HEAD: usize = 3;

/// Writes the record that `json` begins with into the slab at `start`; `None` if no steps fit it.
#[inline(always)]
pub(super) fn run<'a>(
    shapes: &mut Shapes,
    json: &'a [u8],
    slab: &mut [u8],
    start: usize,
) -> Option<Known<'a>> {
    let mut runner = Runner {
        graph: &shapes.graph,
        json,
        from: 0,
        to: start + HEAD,
        open: OpenLengths::new(),
        variables: Variables::new(json),
        number: None,
        fitted: 0,
        failed: 0,
    };
    let last_time = &mut shapes.last_time;
    let last = runner.steps(slab, last_time);
    shapes.pace.note(runner.fitted, runner.failed);
    let end = runner.variables.write(shapes.graph.constants(last?)?, last_time, slab, runner.to)?;
    let (length, end) = finish(slab, start, end)?;
    let what = ParsedContent::Encoded { at: start..end, length };
    let entry = ParsedEntry {
        sequence_number: runner.number,
        created_at: runner.variables.time(last_time),
        what,
    };
    Some(Known { entry, end, rest: json.get(runner.from..)? })
}

/// A record on its way.
struct Runner<'g, 'a> {
    graph: &'g Graph,
    json: &'a [u8],
    /// How far the JSON is read.
    from: usize,
    /// How far the slab is written.
    to: usize,
    open: OpenLengths,
    variables: Variables<'a>,
    number: Option<SequenceNumber>,
    /// Steps that fitted, and that did not.
    fitted: u32,
    failed: u32,
}

impl<'g> Runner<'g, '_> {
    /// Follows the steps up to the last, which is returned.
    #[inline(always)]
    fn steps(&mut self, slab: &mut [u8], last_time: &mut LastTime) -> Option<&'g Node> {
        let mut edge = self.graph.first();
        let mut end = [0; WIDTH];
        loop {
            let alternative = self.graph.edge(edge)?;
            let node = self.graph.node(alternative.step)?;
            let step = &node.step;
            let window = window(self.json, self.from, &mut end);
            if same_bytes(window, &step.literal) & step.mask != step.mask {
                self.failed += 1;
                edge = alternative.other;
                continue;
            }
            self.fitted += 1;
            self.from += usize::from(step.literal_len);
            self.write(step, slab)?;
            match step.then {
                Then::Next => {}
                Then::Text => {
                    (self.from, self.to) = text(self.json, self.from, slab, self.to, step)?;
                }
                Then::Base64 => {
                    (self.from, self.to) = base64(self.json, self.from, slab, self.to, step)?;
                }
                Then::EventId => self.from = self.variables.event_id(self.from)?,
                Then::SequenceNumber => {
                    let (from, number) = self.variables.sequence_number(self.from)?;
                    (self.from, self.number) = (from, Some(number));
                }
                Then::CreatedAt => {
                    self.from = self.variables.created_at(self.from, last_time)?;
                }
                Then::SizeBytes => self.from = self.variables.size(self.from)?,
                Then::End => return Some(node),
            }
            edge = node.next;
        }
    }

    /// Writes what belongs to a step's JSON, and the lengths that begin and end in it.
    #[inline(always)]
    fn write(&mut self, step: &Step, slab: &mut [u8]) -> Option<()> {
        *slab.get_mut(self.to..)?.first_chunk_mut()? = step.written;
        let written = usize::from(step.written_len);
        for mark in step.marks.iter().take(usize::from(step.mark_count)) {
            let at = self.to + usize::from(mark.at);
            if mark.is_end {
                // What is moved for a length of several bytes moves the rest of this step, too.
                self.to = self.open.end(slab, at, self.to + written)? - written;
            } else {
                self.open.begin(at)?;
            }
        }
        self.to += written;
        Some(())
    }
}

/// Writes the head of a record whose message ends at `end`; returns the message's length, and where
/// it ends then.
#[inline(always)]
fn finish(slab: &mut [u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let content = start + HEAD;
    let length = end.checked_sub(content)?;
    let content_then = start + 1 + varint_len(length as u64);
    if content_then != content {
        if content_then + length > slab.len() {
            return None;
        }
        slab.copy_within(content..end, content_then);
    }
    *slab.get_mut(start)? = RECORDS_TAG;
    put_varint(slab, start + 1, length as u64)?;
    Some((length, content_then + length))
}
