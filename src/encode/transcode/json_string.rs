//! JSON strings, and the escapes in them.

use std::borrow::Cow;

use super::Refused;
use super::plain_text::plain;

/// A JSON string as written, without its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    /// The bytes between the quotes, in UTF-8. Without escapes, they are the string's value.
    pub raw: &'a [u8],
    /// Whether it has escapes.
    pub escaped: bool,
}

impl<'a> Text<'a> {
    /// The string's value; refused if it has escapes.
    #[inline]
    pub(super) fn plain(self) -> Result<&'a [u8], Refused> {
        if self.escaped { Err(Refused) } else { Ok(self.raw) }
    }

    /// The string's value with escapes undone, in UTF-8.
    #[inline]
    pub(super) fn meaning(self) -> Result<Cow<'a, [u8]>, Refused> {
        if self.escaped { unescape(self.raw).map(Cow::Owned) } else { Ok(Cow::Borrowed(self.raw)) }
    }
}

/// Undoes the escapes. The result is never longer than `raw`, and valid UTF-8 because `raw` is.
fn unescape(mut raw: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut meaning = Vec::with_capacity(raw.len());
    loop {
        let (before, escape) = raw.split_at(plain(raw));
        meaning.extend_from_slice(before);
        if escape.is_empty() {
            return Ok(meaning);
        }
        let (character, rest) = character(escape)?;
        meaning.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        raw = rest;
    }
}

/// The character of the escape at the beginning, and the bytes after the escape.
#[inline]
pub(super) fn character(escape: &[u8]) -> Result<(char, &[u8]), Refused> {
    let [b'\\', kind, rest @ ..] = escape else { return Err(Refused) };
    let simple = match kind {
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(escape),
        _ => return Err(Refused),
    };
    Ok((simple, rest))
}

/// One `\u` escape, or two that are the surrogate halves of one character.
fn unicode(escape: &[u8]) -> Result<(char, &[u8]), Refused> {
    let (high, rest) = unit(escape)?;
    if !(0xd800..0xdc00).contains(&high) {
        // A low surrogate without a high one is no character.
        return Ok((char::from_u32(high).ok_or(Refused)?, rest));
    }
    let (low, rest) = unit(rest)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Err(Refused);
    }
    let both = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    Ok((char::from_u32(both).ok_or(Refused)?, rest))
}

/// Reads `\u` and four hexadecimal digits.
fn unit(escape: &[u8]) -> Result<(u32, &[u8]), Refused> {
    let (digits, rest) =
        escape.strip_prefix(b"\\u").and_then(|hex| hex.split_first_chunk::<4>()).ok_or(Refused)?;
    let digit = |value: u32, digit: &u8| Some(value << 4 | char::from(*digit).to_digit(16)?);
    Ok((digits.iter().try_fold(0, digit).ok_or(Refused)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours(raw: &str) -> Option<String> {
        unescape(raw.as_bytes()).ok().map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    proptest! {
        /// Any text made of pieces of escapes, whole and broken.
        #[test]
        fn escapes_mean_what_serde_json_takes_them_for(
            pieces in proptest::collection::vec(
                prop_oneof!["\\\\u[dD][89a-fA-F][0-9a-f]{2}", "\\\\u[0-9a-fA-F]{3,4}", r#"\\["\\/bfnrtux]"#, "[a-z0-9ü€😀]{0,3}"],
                0..8,
            ),
        ) {
            let raw = pieces.concat();
            prop_assert_eq!(ours(&raw), serde_json::from_str::<String>(&format!("\"{raw}\"")).ok(), "{}", raw);
        }
    }
}
