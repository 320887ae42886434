//! The manual pages: what the help says, for `man`.

use std::io;
use std::path::Path;

use super::layers;

/// Writes a page for each command into `folder`: `shardstream.1`, `shardstream-serve.1`, ...
pub fn write_manual_pages(folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(layers::command(), folder)
}
