//! A JSON scanner: reads one token or value at a time from text that is known to be UTF-8.

use serde_json::value::RawValue;

use super::Refused;
use super::json_string::Text;
use super::plain_text::plain;

/// A position in JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// A scanner at the beginning of the text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes() }
    }

    /// A scanner at the beginning of a part of such text.
    #[inline]
    pub(super) fn over(part: &'a [u8]) -> Self {
        Self { rest: part }
    }

    /// Skips blanks and returns the next byte without consuming it.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, Refused> {
        match self.rest.first() {
            Some(&byte) if byte > b' ' => Ok(byte),
            _ => self.peek_behind_blanks(),
        }
    }

    /// Consumes this byte and blanks before it; refused if another byte comes.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Refused> {
        if self.is_next(byte)? { Ok(()) } else { Err(Refused) }
    }

    /// Whether this byte comes next; consumes it if so.
    #[inline]
    pub(super) fn is_next(&mut self, byte: u8) -> Result<bool, Refused> {
        let is_next = self.peek()? == byte;
        if is_next {
            self.pass(1)?;
        }
        Ok(is_next)
    }

    /// The letter X if `{"X":` comes next, as most values begin in AWS's JSON; consumes it if so.
    #[inline]
    pub(super) fn letter(&mut self) -> Option<u8> {
        let [b'{', b'"', letter, b'"', b':', rest @ ..] = self.rest else { return None };
        self.rest = rest;
        Some(*letter)
    }

    /// The text that is not consumed yet.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Continues at `rest`, which must be a tail of the text not consumed yet.
    #[inline]
    pub(super) fn go_on(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// Accepts only blanks until the end of the text.
    pub(super) fn end(mut self) -> Result<(), Refused> {
        match self.peek() {
            Ok(_) => Err(Refused),
            Err(Refused) => Ok(()),
        }
    }

    /// Reads an object: `each` receives every key and must read its value.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
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

    /// Reads an array: `each` must read every value.
    #[inline]
    pub(super) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
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

    /// Reads a string without undoing its escapes.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Text<'a>, Refused> {
        self.expect(b'"')?;
        let length = plain(self.rest);
        if self.rest.get(length) != Some(&b'"') {
            return self.escaped_text(length);
        }
        let raw = self.pass(length)?;
        self.pass(1)?;
        Ok(Text { raw, escaped: false })
    }

    /// Reads a number, checked against JSON's grammar, and returns it as written.
    pub(super) fn number(&mut self) -> Result<&'a str, Refused> {
        self.peek()?;
        let mut number = Self { rest: self.rest };
        if number.byte()? == b'-' {
            number.pass(1)?;
        }
        let leads_with_zero = number.byte()? == b'0';
        match number.digits()? {
            0 => return Err(Refused),
            1 => {}
            _ if leads_with_zero => return Err(Refused),
            _ => {}
        }
        if number.byte()? == b'.' {
            number.pass(1)?;
            if number.digits()? == 0 {
                return Err(Refused);
            }
        }
        if matches!(number.byte()?, b'e' | b'E') {
            number.pass(1)?;
            if matches!(number.byte()?, b'+' | b'-') {
                number.pass(1)?;
            }
            if number.digits()? == 0 {
                return Err(Refused);
            }
        }
        let written = self.pass(self.rest.len() - number.rest.len())?;
        std::str::from_utf8(written).map_err(|_| Refused)
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&mut self) -> Result<bool, Refused> {
        let is_true = self.peek()? == b't';
        self.word(if is_true { "true" } else { "false" })?;
        Ok(is_true)
    }

    /// Whether `null` comes next; consumes it if so.
    #[inline]
    pub(super) fn is_null(&mut self) -> Result<bool, Refused> {
        if self.peek()? != b'n' {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// Reads any value and returns it as written. Needs no recursion, and checks brackets, literals
    /// and the form of escapes.
    pub(super) fn any(&mut self) -> Result<&'a str, Refused> {
        self.peek()?;
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter::<&RawValue>();
        let value = values.next().and_then(Result::ok).ok_or(Refused)?.get();
        self.pass(values.byte_offset())?;
        Ok(value)
    }

    /// Reads the rest of a string that has something other than plain text at `length`.
    #[cold]
    fn escaped_text(&mut self, mut length: usize) -> Result<Text<'a>, Refused> {
        loop {
            match self.rest.get(length).ok_or(Refused)? {
                b'"' => break,
                b'\\' => length += 2,
                // A control character.
                _ => return Err(Refused),
            }
            length += plain(self.rest.get(length..).ok_or(Refused)?);
        }
        let raw = self.pass(length)?;
        self.pass(1)?;
        Ok(Text { raw, escaped: true })
    }

    #[cold]
    fn peek_behind_blanks(&mut self) -> Result<u8, Refused> {
        loop {
            match self.byte()? {
                b' ' | b'\t' | b'\r' | b'\n' => self.pass(1)?,
                byte => return Ok(byte),
            };
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Refused> {
        self.rest = self.rest.strip_prefix(word.as_bytes()).ok_or(Refused)?;
        Ok(())
    }

    /// Consumes digits; returns how many.
    fn digits(&mut self) -> Result<usize, Refused> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.pass(count)?;
        Ok(count)
    }

    fn byte(&self) -> Result<u8, Refused> {
        self.rest.first().copied().ok_or(Refused)
    }

    /// Consumes `count` bytes and returns them.
    #[inline]
    fn pass(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let (passed, rest) = self.rest.split_at_checked(count).ok_or(Refused)?;
        self.rest = rest;
        Ok(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_jsons_numbers(text in "[-+0-9.eE]{0,8}") {
            let taken =
                Scanner::new(&format!("{text} ")).number().is_ok_and(|number| number == text);
            let is_one = serde_json::from_str::<&RawValue>(&text).is_ok();
            prop_assert_eq!(taken, is_one, "{}", text);
        }
    }
}
