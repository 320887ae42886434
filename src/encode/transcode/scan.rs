//! JSON, a piece at a time, over text that is known to be UTF-8.

use serde_json::value::RawValue;

use super::Refused;
use super::text::Text;

/// The highest bit of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// A place in JSON text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of the text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no blank, which it stands before then.
    pub fn peek(&mut self) -> Result<u8, Refused> {
        loop {
            match self.byte()? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    /// Passes this byte, and blanks before it.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), Refused> {
        // AWS writes no blanks.
        if self.text.as_bytes().get(self.at) != Some(&byte) && self.peek()? != byte {
            return Err(Refused);
        }
        self.at += 1;
        Ok(())
    }

    /// Whether this byte comes next; passes it then.
    #[inline]
    pub fn is_next(&mut self, byte: u8) -> Result<bool, Refused> {
        let is_next = self.peek()? == byte;
        self.at += usize::from(is_next);
        Ok(is_next)
    }

    /// Nothing but blanks until the end.
    pub fn end(mut self) -> Result<(), Refused> {
        match self.peek() {
            Ok(_) => Err(Refused),
            Err(Refused) => Ok(()),
        }
    }

    /// An object: `each` is given every key and has to read its value.
    #[inline]
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Refused>) -> Result<(), Refused> {
        self.expect(b'{')?;
        if self.is_next(b'}')? {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            each(self, key)?;
            if !self.is_next(b',')? {
                return self.expect(b'}');
            }
        }
    }

    /// An array: `each` has to read every value.
    #[inline]
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Refused>) -> Result<(), Refused> {
        self.expect(b'[')?;
        if self.is_next(b']')? {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.is_next(b',')? {
                return self.expect(b']');
            }
        }
    }

    /// A string, its escapes not looked at.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Refused> {
        self.expect(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain(self.rest()?);
            match self.byte()? {
                b'"' => {
                    let raw = self.text.get(start..self.at).ok_or(Refused)?;
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                // A control character.
                _ => return Err(Refused),
            }
        }
    }

    /// A number as it is written, by JSON's grammar.
    pub fn number(&mut self) -> Result<&'a str, Refused> {
        self.peek()?;
        let start = self.at;
        self.at += usize::from(self.byte()? == b'-');
        let leads_with_zero = self.byte()? == b'0';
        match self.digits()? {
            0 => return Err(Refused),
            1 => {}
            _ if leads_with_zero => return Err(Refused),
            _ => {}
        }
        if self.byte()? == b'.' {
            self.at += 1;
            if self.digits()? == 0 {
                return Err(Refused);
            }
        }
        if matches!(self.byte()?, b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte()?, b'+' | b'-'));
            if self.digits()? == 0 {
                return Err(Refused);
            }
        }
        self.text.get(start..self.at).ok_or(Refused)
    }

    /// `true` or `false`.
    pub fn flag(&mut self) -> Result<bool, Refused> {
        let is_true = self.peek()? == b't';
        self.word(if is_true { "true" } else { "false" })?;
        Ok(is_true)
    }

    /// Whether `null` comes next; passes it then.
    #[inline]
    pub fn is_null(&mut self) -> Result<bool, Refused> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// Any value, as it is written. Needs no recursion, and checks brackets, words and the form of escapes.
    pub fn any(&mut self) -> Result<&'a str, Refused> {
        self.peek()?;
        let rest = self.text.get(self.at..).ok_or(Refused)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let value = values.next().and_then(Result::ok).ok_or(Refused)?.get();
        self.at += values.byte_offset();
        Ok(value)
    }

    fn word(&mut self, word: &str) -> Result<(), Refused> {
        if !self.rest()?.starts_with(word.as_bytes()) {
            return Err(Refused);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes digits; tells how many.
    fn digits(&mut self) -> Result<usize, Refused> {
        let count = self.rest()?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        Ok(count)
    }

    fn byte(&self) -> Result<u8, Refused> {
        self.text.as_bytes().get(self.at).copied().ok_or(Refused)
    }

    fn rest(&self) -> Result<&'a [u8], Refused> {
        self.text.as_bytes().get(self.at..).ok_or(Refused)
    }
}

/// How many bytes at the beginning are neither a quote nor a backslash nor a control character.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let in_rest = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
    words.len() * 8 + in_rest
}

/// Marks the highest bit of bytes that are a quote, a backslash or a control character. Exact for the lowest byte marked; a
/// borrow may mark others above it.
fn special(word: u64) -> u64 {
    let is = |byte: u8| {
        let differs = word ^ (ONES * u64::from(byte));
        differs.wrapping_sub(ONES) & !differs
    };
    (is(b'"') | is(b'\\') | (word.wrapping_sub(ONES * 0x20) & !word)) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_text_ends_where_it_ends_byte_by_byte(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(0x1f), Just(0x80)], 0..40),
        ) {
            let slowly = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain(&bytes), slowly.unwrap_or(bytes.len()));
        }

        #[test]
        fn numbers_are_jsons_numbers(text in "[-+0-9.eE]{0,8}") {
            let taken = Scanner::new(&format!("{text} ")).number().is_ok_and(|number| number == text);
            let is_one = serde_json::from_str::<&RawValue>(&text).is_ok();
            prop_assert_eq!(taken, is_one, "{}", text);
        }
    }
}
