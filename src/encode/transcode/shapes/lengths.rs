//! Lengths before what they measure, in a slab that is written front to back.
//!
//! Room for one byte is left; where a length takes more, what follows it is moved.

use super::state::MOST_OPEN;
use super::step::{LengthBefore, SHORT, Step};
use crate::encode::transcode::protobuf::varint_len;

/// The lengths of containers whose content is not whole yet: of each an entry, a value and its
/// content.
#[derive(Debug)]
pub(super) struct OpenLengths {
    content: [u32; 3 * MOST_OPEN],
    count: usize,
}

impl OpenLengths {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { content: [0; 3 * MOST_OPEN], count: 0 }
    }

    /// Begins content at `at`, behind the room for its length.
    #[inline(always)]
    pub(super) fn begin(&mut self, at: usize) -> Option<()> {
        *self.content.get_mut(self.count)? = at as u32;
        self.count += 1;
        Some(())
    }

    /// Ends the innermost content at `to`; `end` is how far the slab is written, and what is
    /// returned how far it is then.
    #[inline(always)]
    pub(super) fn end(&mut self, slab: &mut [u8], to: usize, end: usize) -> Option<usize> {
        self.count = self.count.checked_sub(1)?;
        let content = *self.content.get(self.count)? as usize;
        let length = to.checked_sub(content)?;
        if length > usize::from(SHORT) {
            return widen(slab, content, length, end);
        }
        *slab.get_mut(content.checked_sub(1)?)? = length as u8;
        Some(end)
    }
}

/// Writes a length of several bytes before `content`, where there is room for one: moves all up to
/// `end`. Returns where that is then.
#[inline(never)]
fn widen(slab: &mut [u8], content: usize, length: usize, end: usize) -> Option<usize> {
    let more = varint_len(length as u64) - 1;
    if end + more > slab.len() {
        return None;
    }
    slab.copy_within(content..end, content + more);
    put_varint(slab, content.checked_sub(1)?, length as u64)?;
    Some(end + more)
}

/// Writes the lengths before a text that is at `text..end`, as its step says; returns where it ends
/// then.
#[inline]
pub(super) fn measure(slab: &mut [u8], text: usize, end: usize, step: &Step) -> Option<usize> {
    let length = end - text;
    let lengths = step.lengths.get(..usize::from(step.length_count))?;
    if length > usize::from(step.longest) {
        return lengths_before(slab, text, end, lengths);
    }
    for before in lengths {
        let place = text.checked_sub(usize::from(before.back))?;
        *slab.get_mut(place)? = length as u8 + before.more;
    }
    Some(end)
}

/// As [`measure`], where some lengths take several bytes.
#[inline(never)]
fn lengths_before(
    slab: &mut [u8],
    text: usize,
    end: usize,
    lengths: &[LengthBefore],
) -> Option<usize> {
    // How much longer than the text each is, and how many bytes more than one it takes.
    let (mut sizes, mut all) = ([(0, 0); 3], 0);
    for (size, length) in sizes.iter_mut().zip(lengths) {
        let value = end - text + usize::from(length.more) + all;
        let more = varint_len(value as u64) - 1;
        *size = (value, more);
        all += more;
    }
    if end + all > slab.len() {
        return None;
    }
    // From the text outwards, each piece is moved once, by what all lengths before it need.
    let (mut to, mut shift) = (end, all);
    for ((value, more), length) in sizes.into_iter().zip(lengths) {
        let place = text.checked_sub(usize::from(length.back))?;
        slab.copy_within(place + 1..to, place + 1 + shift);
        shift -= more;
        put_varint(slab, place + shift, value as u64)?;
        to = place;
    }
    Some(end + all)
}

/// Writes an integer at `at`; returns where it ends.
#[inline(always)]
pub(super) fn put_varint(slab: &mut [u8], mut at: usize, mut value: u64) -> Option<usize> {
    while value >= 0x80 {
        *slab.get_mut(at)? = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    *slab.get_mut(at)? = value as u8;
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_on_both_sides_of_every_border() {
        let lengths = [(1, 0), (3, 2), (9, 8)].map(|(back, more)| LengthBefore { back, more });
        for size in [0, 1, 118, 119, 120, 125, 126, 127, 128, 129, 16_373, 16_380, 16_383, 16_384] {
            let mut slab = vec![0x0a, 0, 0x0a, 2, b'a', b'b', 0x12, 0, 0x0a, 0];
            let text = slab.len();
            slab.resize(text + size, 7);
            slab.resize(text + size + 20, 0);
            let end = lengths_before(&mut slab, text, text + size, &lengths).expect("room");
            let field = |tag: u8, content: &[u8]| {
                let mut out = vec![tag];
                prost::encoding::encode_varint(content.len() as u64, &mut out);
                [&out, content].concat()
            };
            let value = field(0x12, &field(0x0a, &vec![7; size]));
            let entry = field(0x0a, &[&[0x0a, 2, b'a', b'b'][..], &value].concat());
            assert!(slab[..end] == entry, "{size}");
        }
    }

    #[test]
    fn content_is_measured_when_it_ends() {
        for size in [0, 127, 128, 16_383, 16_384] {
            let mut slab = vec![7; size + 10];
            let mut open = OpenLengths::new();
            open.begin(2).expect("room");
            // Two bytes follow the content.
            let end = open.end(&mut slab, 2 + size, 4 + size).expect("room");
            let length = varint_len(size as u64);
            assert_eq!(end, 1 + length + size + 2);
            let (value, read) = (prost::decode_length_delimiter(&slab[1..]), 1 + length);
            assert_eq!(value.ok(), Some(size));
            assert!(slab[read..end].iter().all(|byte| *byte == 7));
            assert_eq!(open.end(&mut slab, 9, 9), None, "none is open");
        }
    }
}
