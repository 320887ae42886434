//! A fast path for entries as AWS writes most of them, `"name":{"S":"text"}`: parsed in a few steps
//! without unpredictable branches.
//!
//! An entry is accepted here as a whole or not at all; all others are read piece by piece by
//! [`super::value`], which would write the same bytes for the accepted ones.

use super::attribute_tags::{MOST_SHORT, ONE, TWO, tag};
use super::json_scanner::Scanner;
use super::plain_text::{plain, special};

/// The bytes between a name and a text, with zero for the type letter, and the mask of all bytes
/// but that letter.
const BETWEEN: u64 = u64::from_le_bytes(*b"\":{\"\0\":\"");
const WITHOUT_LETTER: u64 = u64::from_le_bytes([0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff]);

/// How many bytes are examined, and copied, at once.
const STEP: usize = 16;

/// The parts of a short entry.
struct ShortParts<'a> {
    /// The bytes from the name on.
    name: &'a [u8],
    name_len: usize,
    /// The tag of the text's type.
    kind: u8,
    /// The bytes from the text on.
    text: &'a [u8],
    text_len: usize,
    /// The bytes after the entry.
    rest: &'a [u8],
}

/// Consumes and writes an entry of a short name and a short text (S or N) without escapes or
/// blanks; `false` where anything else comes, with nothing consumed.
#[inline]
pub(super) fn short_entry(scan: &mut Scanner<'_>, out: &mut Vec<u8>, tag: u8) -> bool {
    let Some(parts) = split(scan.rest()) else { return false };
    // Both lengths are bounded by `MOST_SHORT`.
    let (name_len, text_len) = (parts.name_len as u8, parts.text_len as u8);
    out.extend_from_slice(&[tag, name_len + text_len + 6, ONE, name_len]);
    copy(out, parts.name, parts.name_len);
    out.extend_from_slice(&[TWO, text_len + 2, parts.kind, text_len]);
    copy(out, parts.text, parts.text_len);
    scan.go_on(parts.rest);
    true
}

#[inline]
fn split(entry: &[u8]) -> Option<ShortParts<'_>> {
    let [b'"', name @ ..] = entry else { return None };
    // 32, which is more than `STEP`, if the name does not end within it.
    let name_len = special(name.first_chunk::<STEP>()?).trailing_zeros() as usize;
    let (between, text) = name.get(name_len..)?.split_first_chunk::<8>()?;
    let kind = match between[4] {
        b'S' => tag::S,
        b'N' => tag::N,
        _ => return None,
    };
    let text_len = plain(text);
    let fits = name_len > 0 && name_len < STEP && name_len + text_len <= MOST_SHORT;
    if !fits || u64::from_le_bytes(*between) & WITHOUT_LETTER != BETWEEN {
        return None;
    }
    let [b'"', b'}', rest @ ..] = text.get(text_len..)? else { return None };
    Some(ShortParts { name, name_len, kind, text, text_len, rest })
}

/// Appends the first `len` bytes: copies whole steps and truncates the excess.
#[inline]
fn copy(out: &mut Vec<u8>, from: &[u8], len: usize) {
    let end = out.len() + len;
    let mut from = from;
    while out.len() < end {
        let Some((step, rest)) = from.split_first_chunk::<STEP>() else {
            out.extend_from_slice(&from[..end - out.len()]);
            return;
        };
        out.extend_from_slice(step);
        from = rest;
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::super::value::item;
    use super::*;
    use proptest::prelude::*;

    fn written(json: &str) -> Option<Vec<u8>> {
        let (mut scan, mut out) = (Scanner::new(json), vec![]);
        item(&mut scan, &mut out, 0x12, 0).ok()?;
        scan.end().ok().map(|()| out)
    }

    proptest! {
        /// A blank before the value makes the general reader take the entry.
        #[test]
        fn a_short_entry_is_written_as_any_other(
            entries in proptest::collection::vec(
                ("[a-zü\"\\\\\u{1f}]{0,2}[a-z]{0,20}", "[SNBX]", "[0-9]{0,130}[0-9ü€\"\\\\\n]{0,3}"),
                1..4,
            ),
            behind in " {0,20}",
        ) {
            let json = |blank: &str| {
                let entry = |(name, kind, text): &(String, String, String)| format!(r#""{name}":{blank}{{"{kind}":"{text}"}}"#);
                let entries: Vec<String> = entries.iter().map(entry).collect();
                format!("{{{}}}{behind}", entries.join(","))
            };
            prop_assert_eq!(written(&json("")), written(&json(" ")));
        }

        #[test]
        fn what_is_short_is_taken(name in "[a-z]{1,15}", text in "[0-9ü]{0,50}") {
            let json = format!(r#""{name}":{{"S":"{text}"}},{:20}"#, "");
            let mut scan = Scanner::new(&json);
            prop_assert!(short_entry(&mut scan, &mut vec![], 0x12));
            prop_assert_eq!(scan.rest().first(), Some(&b','));
        }
    }
}
