//! A terminal that is drawn on in place: each frame over the one before, and the cursor below it,
//! visible, whenever nothing is being drawn, so that however the program ends nothing has to be put
//! back.

use std::io::{self, IsTerminal, Write};

use super::text::columns;

/// What begins a frame: shown as one, without the cursor running about.
const BEGIN: &str = "\u{1b}[?2026h\u{1b}[?25l";

/// What ends it.
const END: &str = "\u{1b}[?25h\u{1b}[?2026l";

/// Where frames are drawn.
pub struct Screen {
    /// Past whatever takes colours out, which would take this out too.
    control: Box<dyn Write + Send>,
    size: Box<dyn Fn() -> (usize, usize) + Send>,
    /// The columns of each line that stands there.
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
        // One that is gone is noticed when it is written to.
        Some(Self::new(io::stdout(), move || size().unwrap_or((80, 24))))
    }

    /// One of this size, columns first, that is controlled by what is written here.
    pub fn new(
        control: impl Write + Send + 'static,
        size: impl Fn() -> (usize, usize) + Send + 'static,
    ) -> Self {
        Self { control: Box::new(control), size: Box::new(size), drawn: Vec::new() }
    }

    /// Draws what `lines` makes of the screen's width and height over the frame before.
    pub fn redraw(
        &mut self,
        data: &mut dyn Write,
        lines: impl FnOnce(usize, usize) -> Vec<String>,
    ) -> io::Result<()> {
        let (width, height) = (self.size)();
        let lines = lines(width, height);
        data.flush()?;
        // A window that has become narrower has broken lines in two.
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
        // Whatever becomes of the data, the cursor comes back.
        write!(self.control, "{END}")?;
        self.control.flush()?;
        printed
    }
}
