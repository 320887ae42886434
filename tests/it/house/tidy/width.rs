//! Lines fit a page: rustfmt breaks code at 100 columns, people break texts and macros.

use super::holds;
use super::source::tree;

/// Columns of a line.
const WIDTH: usize = 100;

/// One line of this many may be longer: a text that cannot be broken.
const ONE_OF: usize = 500;

fn too_wide(path: &str, text: &str) -> Vec<String> {
    let wide = |(at, line): (usize, &str)| {
        (line.chars().count() > WIDTH).then(|| format!("{path}:{}", at + 1))
    };
    text.lines().enumerate().filter_map(wide).collect()
}

#[test]
fn lines_fit_a_page() {
    let files: Vec<_> = ["src", "tests", "bench"].into_iter().flat_map(tree).collect();
    let lines: usize = files.iter().map(|file| file.text.lines().count()).sum();
    let wide: Vec<_> = files.iter().flat_map(|file| too_wide(&file.path, &file.text)).collect();
    holds(if wide.len() * ONE_OF <= lines { vec![] } else { wide });
}

#[test]
fn wide_lines_are_found() {
    let text = format!("{}\n{}\n", "ü".repeat(WIDTH), "x".repeat(WIDTH + 1));
    assert_eq!(too_wide("a.rs", &text), ["a.rs:2"]);
}
