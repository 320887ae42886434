//! Records with marks around what differs without making another shape; no JSON has these.
//!
//! Stands alone: the fuzz targets and the benchmark use it too.

use fastrand::Rng;

pub const BEGIN: char = '\u{2}';
pub const END: char = '\u{3}';

/// The JSON of a record with marks.
pub fn json(marked: &str) -> String {
    marked.replace([BEGIN, END], "")
}

/// What of a record with marks makes its shape.
pub fn skeleton(marked: &str) -> String {
    let mut pieces = marked.split(BEGIN);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| {
        all + "\u{2}" + piece.split_once(END).map_or("", |(_, rest)| rest)
    })
}

/// A record with the beginning of one and the end of another, cut where both are as deep; often one
/// in which something is missing or comes twice.
pub fn spliced(one: &str, other: &str, chance: &mut Rng) -> String {
    let (heads, tails) = (borders(one), borders(other));
    if heads.is_empty() || tails.is_empty() {
        return one.to_owned();
    }
    let (at, depth, kind) = heads[chance.usize(0..heads.len())];
    let same: Vec<usize> = tails
        .iter()
        .filter(|(_, of, by)| *of == depth && (*by == kind || chance.u8(0..8) == 0))
        .map(|(at, ..)| *at)
        .collect();
    if same.is_empty() {
        return one.to_owned();
    }
    [&one[..at], &other[same[chance.usize(0..same.len())]..]].concat()
}

/// The places behind a comma, a colon, an opening or before a closing bracket that are in no text:
/// how deep, and behind what.
fn borders(marked: &str) -> Vec<(usize, usize, u8)> {
    let (mut all, mut depth, mut is_text, mut is_escape) = (Vec::new(), 0_usize, false, false);
    for (at, byte) in marked.bytes().enumerate() {
        match byte {
            _ if is_escape => is_escape = false,
            b'\\' => is_escape = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                all.push((at, depth, byte));
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if !is_text && matches!(byte, b',' | b':' | b'{' | b'[') {
            all.push((at + 1, depth, byte));
        }
    }
    all
}
