//! Compares and copies pieces of JSON: many bytes at once, and without a decision that depends on
//! more than where a text ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wide::u8x16;

use super::lengths::measure;
use super::step::{Step, WIDTH};
use crate::encode::transcode::json_string::character;
use crate::encode::transcode::plain_text::{plain, special};

/// How far before a text the lengths are that are written with it, and how far behind its beginning
/// a short one may be written.
const BEFORE: usize = 128;
const ROOM: usize = 3 * BEFORE;

/// The next bytes of the JSON; zeros, which no JSON has, after its end.
#[inline(always)]
pub(super) fn window<'w>(json: &'w [u8], at: usize, end: &'w mut [u8; WIDTH]) -> &'w [u8; WIDTH] {
    match json.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(window) => window,
        None => {
            last_window(json, at, end);
            end
        }
    }
}

#[cold]
fn last_window(json: &[u8], at: usize, end: &mut [u8; WIDTH]) {
    *end = [0; WIDTH];
    let rest = json.get(at..).unwrap_or_default();
    end[..rest.len()].copy_from_slice(rest);
}

/// A bit for each byte in which both are the same; the lowest is the first.
#[inline(always)]
pub(super) fn same_bytes(one: &[u8; WIDTH], other: &[u8; WIDTH]) -> u32 {
    let ([one, one_rest], [other, other_rest]) = (halves(one), halves(other));
    one.simd_eq(other).to_bitmask() | one_rest.simd_eq(other_rest).to_bitmask() << 16
}

#[inline(always)]
fn halves(bytes: &[u8; WIDTH]) -> [u8x16; 2] {
    let (halves, _) = bytes.as_chunks::<16>();
    [u8x16::new(halves[0]), u8x16::new(halves[1])]
}

/// Copies the text at `json[from..]` to `slab[to..]` with the lengths before it; returns where its
/// closing quote is and where it ends in the slab.
#[inline(always)]
pub(super) fn text(
    json: &[u8],
    from: usize,
    slab: &mut [u8],
    to: usize,
    step: &Step,
) -> Option<(usize, usize)> {
    match short_text(json, from, slab, to, step) {
        Some(length) => Some((from + length, to + length)),
        None => {
            let (from, end) = any_text(json, from, slab, to)?;
            Some((from, measure(slab, to, end, step)?))
        }
    }
}

/// The length of the text, copied, if it is short and plain and there is room around it.
#[inline(always)]
fn short_text(json: &[u8], from: usize, slab: &mut [u8], to: usize, step: &Step) -> Option<usize> {
    // With room of a fixed size, no write into it has to be checked.
    let room: &mut [u8; ROOM] = slab.get_mut(to.checked_sub(BEFORE)?..)?.first_chunk_mut()?;
    let mut length = 0;
    let ends = loop {
        let block: &[u8; 16] = json.get(from + length..)?.first_chunk()?;
        room[BEFORE + length..][..16].copy_from_slice(block);
        let ends = special(block);
        if ends != 0 {
            break ends;
        }
        length += 16;
        if length > BEFORE - 16 {
            return None;
        }
    };
    length += ends.trailing_zeros() as usize;
    if length > usize::from(step.longest) || *json.get(from + length)? != b'"' {
        return None;
    }
    for before in &step.lengths {
        room[BEFORE - usize::from(before.back & 127)] = length as u8 + before.more;
    }
    Some(length)
}

/// Copies a text of any length and with any escapes; returns where its closing quote is and where
/// it ends in the slab.
#[inline(never)]
fn any_text(
    json: &[u8],
    mut from: usize,
    slab: &mut [u8],
    mut to: usize,
) -> Option<(usize, usize)> {
    loop {
        let rest = json.get(from..)?;
        let (text, rest) = rest.split_at(plain(rest));
        slab.get_mut(to..to + text.len())?.copy_from_slice(text);
        (from, to) = (from + text.len(), to + text.len());
        if rest.first()? == &b'"' {
            return Some((from, to));
        }
        // Refuses a control character.
        let (character, rest) = character(rest).ok()?;
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        slab.get_mut(to..to + bytes.len())?.copy_from_slice(bytes);
        (from, to) = (json.len() - rest.len(), to + bytes.len());
    }
}

/// Writes what a text is the base64 of, with the lengths before it; returns as [`text`] does.
#[inline(never)]
pub(super) fn base64(
    json: &[u8],
    from: usize,
    slab: &mut [u8],
    to: usize,
    step: &Step,
) -> Option<(usize, usize)> {
    let text = plain_text(json, from)?;
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let length = (text.len() / 4 * 3).checked_sub(padding)?;
    let written = STANDARD.decode_slice(text, slab.get_mut(to..to + length)?).ok()?;
    Some((from + text.len(), measure(slab, to, to + written, step)?))
}

/// The text up to its closing quote; `None` if it has escapes.
#[inline(always)]
pub(super) fn plain_text(json: &[u8], from: usize) -> Option<&[u8]> {
    let rest = json.get(from..)?;
    let length = plain(rest);
    if *rest.get(length)? == b'"' { rest.get(..length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_end_are_zeros_whatever_was_there() {
        let json = b"0123456789";
        let mut end = [7; WIDTH];
        for at in 0..12 {
            let rest = json.get(at..).unwrap_or_default();
            let window = window(json, at, &mut end);
            assert_eq!(window[..rest.len()], *rest);
            assert_eq!(window[rest.len()..], [0; WIDTH][rest.len()..]);
        }
    }
}
