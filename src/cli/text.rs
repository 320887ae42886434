//! Text from servers made safe for a terminal, and styled lines cut to its width.

use std::fmt::Write;

use owo_colors::{OwoColorize, Style};
use unicode_width::UnicodeWidthChar;

/// One line in pieces, each with its own style.
#[derive(Debug, Default)]
pub struct Line {
    pieces: Vec<(Style, String)>,
}

impl Line {
    /// Adds a piece; its text must already be safe.
    pub fn push(&mut self, style: Style, text: impl Into<String>) -> &mut Self {
        self.pieces.push((style, text.into()));
        self
    }

    /// The columns that the uncut line takes on a terminal.
    pub fn columns(&self) -> usize {
        self.pieces.iter().map(|(_, text)| columns(text)).sum()
    }

    /// The line with colours, cut to `width` columns; `None`: not cut.
    pub fn render(&self, width: Option<usize>) -> String {
        let mut line = String::new();
        // One column is reserved for the mark of the cut.
        let mut left = match width {
            Some(width) if self.columns() > width => width.saturating_sub(1),
            Some(_) | None => usize::MAX,
        };
        for (style, text) in &self.pieces {
            let fitting = prefix(text, left);
            paint(&mut line, *style, fitting);
            if fitting.len() < text.len() {
                line.push('…');
                break;
            }
            left -= columns(fitting);
        }
        line
    }
}

/// Whether a character could move the cursor, change the terminal or reorder text instead of being
/// displayed.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text with every unsafe character written as an escape.
pub(super) fn safe(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    text.chars().for_each(|c| push_safe(&mut written, c));
    written
}

/// Adds one character, escaped if it is unsafe.
pub(super) fn push_safe(written: &mut String, c: char) {
    match c {
        '\n' => written.push_str("\\n"),
        '\r' => written.push_str("\\r"),
        '\t' => written.push_str("\\t"),
        c if is_unsafe(c) => {
            // Writing to a String cannot fail.
            let _ = write!(written, "\\u{{{:x}}}", u32::from(c));
        }
        c => written.push(c),
    }
}

/// The text quoted as one word for a POSIX shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The columns a text takes on a terminal.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

fn prefix(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            return &text[..at];
        }
    }
    text
}

fn paint(line: &mut String, style: Style, text: &str) {
    if !text.is_empty() {
        let _ = write!(line, "{}", text.style(style));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_reaches_the_terminal() {
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}txt\r\n\u{7f}";
        assert_eq!(safe(hostile), r"\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}txt\r\n\u{7f}");
        assert_eq!(safe("grüße 日本 🦀"), "grüße 日本 🦀");
    }

    #[test]
    fn a_line_is_cut_to_its_width() {
        let mut line = Line::default();
        line.push(Style::new(), "abc").push(Style::new(), "日本").push(Style::new(), "xyz");
        assert_eq!(line.render(None), "abc日本xyz");
        assert_eq!(line.render(Some(10)), "abc日本xyz");
        assert_eq!(line.render(Some(9)), "abc日本x…");
        assert_eq!(line.render(Some(7)), "abc日…");
        assert_eq!(line.render(Some(3)), "ab…");
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(shell_word("shardId-0001-a"), "shardId-0001-a");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
    }
}
