//! Documents have one sentence a line, so that a change of one sentence is a change of one line.

use std::fs;
use std::path::PathBuf;

use super::holds;
use super::source::root;

/// Documents outside `docs/`.
const DOCUMENTS: [&str; 6] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "GLOSSARY.md",
    "README.md",
    "tests/it/README.md",
];

/// Whether a sentence ends in the line and another begins. What stands in code or in brackets is
/// not looked at.
fn has_two_sentences(line: &str) -> bool {
    let (mut code, mut depth) = (false, 0_usize);
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '`' => code = !code,
            '(' | '[' if !code => depth += 1,
            ')' | ']' if !code => depth = depth.saturating_sub(1),
            '.' if !code && depth == 0 && (before.is_lowercase() || before == '`') => {
                let mut next = line[at + 1..].chars();
                let goes_on = next.next() == Some(' ');
                if goes_on && next.next().is_some_and(|c| c.is_uppercase() || c == '`') {
                    return true;
                }
            }
            _ => {}
        }
        before = c;
    }
    false
}

/// The lines of prose with more than one sentence. Tables and code may be as they like.
fn crowded_lines(path: &str, text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !start.starts_with('|') && has_two_sentences(line) {
            found.push(format!("{path}:{}: more than one sentence", number + 1));
        }
    }
    found
}

fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = DOCUMENTS.iter().map(|path| root().join(path)).collect();
    for folder in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder");
        let paths_in = entries.map(|entry| entry.expect("readable").path());
        paths.extend(paths_in.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    paths.sort();
    let read = |path: &PathBuf| fs::read_to_string(path).expect("readable");
    paths.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

#[test]
fn documents_have_one_sentence_a_line() {
    let documents = documents();
    holds(documents.iter().flat_map(|(path, text)| crowded_lines(path, text)).collect());
}

#[test]
fn crowded_lines_are_found() {
    let crowded = "It reads. Then it writes.\n\n```\nIt reads. Then it writes.\n```\n";
    assert_eq!(crowded_lines("a.md", crowded), ["a.md:1: more than one sentence"]);
    let fine = "It reads `a. B` (as said. Or not) at 1.5 s, e.g. twice.\n| a. B | c |\n";
    assert!(crowded_lines("a.md", fine).is_empty());
}
