//! Where a command prints: data on one side, talk on the other, so that a pipe carries data alone.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use anstream::{AutoStream, ColorChoice};
use owo_colors::OwoColorize;
use serde_json::Value as Json;

use super::json;
use super::screen::Screen;
use super::text::Line;
use crate::config::{Color, OutputFormat as Format};

/// Data, talk, and how data look.
pub struct Output {
    data: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    format: Format,
    width: Option<usize>,
    screen: Option<Screen>,
}

impl Output {
    /// Data on stdout, talk on stderr. Lines are fitted to the terminal, and whole when there is
    /// none.
    pub fn standard(format: Format, color: Color) -> Self {
        let data = AutoStream::new(io::stdout(), choice(color, AutoStream::choice(&io::stdout())));
        let talk = AutoStream::new(io::stderr(), choice(color, AutoStream::choice(&io::stderr())));
        let width = comfy_table::Table::new().width().map(usize::from);
        // Flushed after every batch: a line at a time is slow for thousands of records.
        let data = Box::new(BufWriter::new(data));
        Self { data, talk: Box::new(talk), format, width, screen: Screen::standard() }
    }

    /// Prints to these writers, colours and all, in lines of `width` columns if there is one.
    pub fn to(
        data: impl Write + Send + 'static,
        talk: impl Write + Send + 'static,
        format: Format,
        width: Option<usize>,
    ) -> Self {
        Self { data: Box::new(data), talk: Box::new(talk), format, width, screen: None }
    }

    /// With data on this screen.
    pub fn on(mut self, screen: Screen) -> Self {
        self.screen = Some(screen);
        self
    }

    /// Whether data are for a person who looks at a terminal.
    pub fn has_screen(&self) -> bool {
        self.screen.is_some() && !self.is_json()
    }

    /// Draws over the frame before, where there is a screen.
    pub fn redraw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<String>) -> io::Result<()> {
        self.screen.as_mut().map_or(Ok(()), |screen| screen.redraw(&mut self.data, lines))
    }

    /// Whether data are for programs.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The columns that a line of data may take; `None`: as many as it likes.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Prints one line of data, cut to the width.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        let text = line.render(self.width);
        self.text(&text)
    }

    /// Prints data as they are, and a line end.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.data, "{text}")
    }

    /// Prints one object for programs.
    pub fn json(&mut self, value: &Json) -> io::Result<()> {
        json::write_line(&mut self.data, value)
    }

    /// Hands what was printed to whoever reads it.
    pub fn flush(&mut self) -> io::Result<()> {
        self.data.flush()
    }

    /// Says something to the person. Nobody is left to hear of it when that fails.
    pub fn say(&mut self, text: impl Display) {
        let _ = self.data.flush();
        let _ = writeln!(self.talk, "{text}");
        let _ = self.talk.flush();
    }

    /// Says why the command fails.
    pub fn error(&mut self, what: &str) {
        self.say(format_args!("{} {what}", "error:".red().bold()));
    }

    /// Says something that must not be missed.
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
