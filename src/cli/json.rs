//! JSON for programs that is also safe on a terminal: one object per line, with every character
//! escaped that a terminal would act on. serde_json does not escape DEL, the C1 controls and the
//! marks that reorder text.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

use super::text::is_unsafe;

/// Writes `value` and a line end.
pub(super) fn write_line(out: &mut dyn Write, value: &serde_json::Value) -> io::Result<()> {
    // In one write: a closed pipe is noticed once, and we never write half a line.
    let mut line = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Escaping))?;
    line.push(b'\n');
    out.write_all(&line)
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            // All of them are within the Basic Multilingual Plane: no surrogates are needed.
            after.next().map_or(Ok(()), |c| write!(writer, "\\u{:04x}", u32::from(c)))?;
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_same_json_without_anything_a_terminal_acts_on() {
        let value =
            serde_json::json!({ "a": "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}é\n", "\u{9d}": [1, null] });
        let mut line = Vec::new();
        write_line(&mut line, &value).expect("memory takes it");
        let line = String::from_utf8(line).expect("text");
        assert_eq!(
            line,
            "{\"a\":\"\\u001b[2J\\u009b2J\\u007f\\u202eé\\n\",\"\\u009d\":[1,null]}\n"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("JSON"), value);
    }
}
