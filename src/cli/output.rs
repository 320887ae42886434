//! Where a command prints: data and messages apart, so that a pipe carries data alone.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use anstream::{AutoStream, ColorChoice};
use owo_colors::OwoColorize;
use serde_json::Value as Json;

use super::json;
use super::screen::Screen;
use super::text::Line;
use crate::config::{Color, OutputFormat as Format};

/// The writers for data and messages, and the format of the data.
pub struct Output {
    data: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    format: Format,
    width: Option<usize>,
    screen: Option<Screen>,
}

impl Output {
    /// Data on stdout, messages on stderr. Lines are cut to the terminal's width, and whole when
    /// stdout is not a terminal.
    pub fn standard(format: Format, color: Color) -> Self {
        let data = AutoStream::new(io::stdout(), choice(color, AutoStream::choice(&io::stdout())));
        let talk = AutoStream::new(io::stderr(), choice(color, AutoStream::choice(&io::stderr())));
        let width = comfy_table::Table::new().width().map(usize::from);
        // Buffered until flushed after every batch: a write per line is slow for thousands of
        // records.
        let data = Box::new(BufWriter::new(data));
        Self { data, talk: Box::new(talk), format, width, screen: Screen::standard() }
    }

    /// Prints to these writers, with colours, in lines of at most `width` columns; `None`: no
    /// limit.
    pub fn to(
        data: impl Write + Send + 'static,
        talk: impl Write + Send + 'static,
        format: Format,
        width: Option<usize>,
    ) -> Self {
        Self { data: Box::new(data), talk: Box::new(talk), format, width, screen: None }
    }

    /// Draws frames on this screen.
    pub fn on(mut self, screen: Screen) -> Self {
        self.screen = Some(screen);
        self
    }

    /// Whether data go to a person at a terminal.
    pub fn has_screen(&self) -> bool {
        self.screen.is_some() && !self.is_json()
    }

    /// Draws over the previous frame, if there is a screen.
    pub fn redraw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<String>) -> io::Result<()> {
        self.screen.as_mut().map_or(Ok(()), |screen| screen.redraw(&mut self.data, lines))
    }

    /// Whether data are printed as JSON, for programs.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The most columns of a line of data; `None`: no limit.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Prints one line of data, cut to the width.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let text = line.render(self.width);
        self.text(&text)
    }

    /// Prints the text unchanged, and a line end.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.data, "{text}")
    }

    /// Prints one JSON object on a line.
    pub fn json(&mut self, value: &Json) -> io::Result<()> {
        json::write_line(&mut self.data, value)
    }

    /// Flushes the data printed so far.
    pub fn flush(&mut self) -> io::Result<()> {
        self.data.flush()
    }

    /// Prints a message to the person. Errors are ignored: there is nobody left to report them to.
    pub fn say(&mut self, text: impl Display) {
        let _ = self.data.flush();
        let _ = writeln!(self.talk, "{text}");
        let _ = self.talk.flush();
    }

    /// Prints the error that ends the command.
    pub fn error(&mut self, what: &str) {
        self.say(format_args!("{} {what}", "error:".red().bold()));
    }

    /// Prints a warning, which must not be missed.
    pub fn warn(&mut self, text: impl Display) {
        self.say(text.red().bold());
    }
}

fn choice(color: Color, auto: ColorChoice) -> ColorChoice {
    match color {
        Color::Auto => auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
}
