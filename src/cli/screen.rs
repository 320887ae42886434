//! Draws frames on a terminal in place, each over the one before. Between frames the cursor is
//! visible and below the frame, so that nothing has to be restored however the program ends.

use std::io::{self, IsTerminal, Write};

use super::text::columns;

/// Begins a frame: a synchronized update, with the cursor hidden.
const BEGIN: &str = "\u{1b}[?2026h\u{1b}[?25l";

/// Ends a frame.
const END: &str = "\u{1b}[?25h\u{1b}[?2026l";

/// The terminal that frames are drawn on.
pub struct Screen {
    /// Writes past the filter that strips colours, which would strip control sequences, too.
    control: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> (usize, usize) + Send>,
    /// The columns of each line on the screen.
    drawn: Vec<usize>,
}

impl Screen {
    /// Stdout, if it is a terminal.
    pub fn standard() -> Option<Self> {
        let size = || {
            let (width, height) = terminal_size::terminal_size_of(io::stdout())?;
            Some((usize::from(width.0), usize::from(height.0)))
        };
        size().filter(|_| io::stdout().is_terminal())?;
        // If the terminal goes away, the next write fails.
        Some(Self::new(io::stdout(), move || size().unwrap_or((80, 24))))
    }

    /// A screen that is controlled through this writer; `size` returns columns, then rows.
    pub fn new(
        control: impl Write + Send + 'static,
        size: impl Fn() -> (usize, usize) + Send + 'static,
    ) -> Self {
        Self { control: Box::new(control), size: Box::new(size), drawn: Vec::new() }
    }

    /// Draws the lines that `lines` makes for the screen's width and height over the previous
    /// frame.
    pub fn redraw(
        &mut self,
        data: &mut dyn Write,
        lines: impl FnOnce(usize, usize) -> Vec<String>,
    ) -> io::Result<()> {
        let (width, height) = (self.size)();
        let lines = lines(width, height);
        data.flush()?;
        // In a window that has become narrower the old lines were wrapped.
        let rows = |columns: &usize| columns.div_ceil(width.max(1)).max(1);
        let above = self.drawn.iter().map(rows).sum::<usize>().min(height.saturating_sub(1));
        let up = if above > 0 { format!("\u{1b}[{above}A") } else { String::new() };
        write!(self.control, "{BEGIN}{up}\r\u{1b}[J")?;
        self.control.flush()?;
        self.drawn = lines
            .iter()
            .map(|line| columns(&anstream::adapter::strip_str(line).to_string()))
            .collect();
        let printed =
            lines.iter().try_for_each(|line| writeln!(data, "{line}")).and_then(|()| data.flush());
        // Even if writing the data failed, the cursor is shown again.
        write!(self.control, "{END}")?;
        self.control.flush()?;
        printed
    }
}
