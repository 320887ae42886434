//! Source files as the rules see them: without comments, texts and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub struct Source {
    /// Its path from the root of the repository, with slashes.
    pub path: String,
    /// All of it.
    pub text: String,
    /// The same, line by line and byte by byte, but with blanks for comments, for what is in
    /// quotes, and for tests.
    pub code: String,
    /// The same with its tests.
    pub code_with_tests: String,
    /// How many of its lines are tests.
    pub test_lines: usize,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file that has to be there.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files below `folder`, by path.
pub fn tree(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    found.sort();
    let name = |path: &Path| {
        let parts = path.strip_prefix(root()).expect("below the root").iter();
        parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    };
    found.iter().map(|path| name(path)).map(|path| Source::new(&path, &read(&path))).collect()
}

/// All files at or below `place` that are text, by path; none if there is no such place.
pub fn texts(place: &str) -> Vec<(String, String)> {
    let path = root().join(place);
    let Ok(folder) = fs::read_dir(&path) else {
        return fs::read_to_string(&path)
            .map(|text| (place.to_owned(), text))
            .into_iter()
            .collect();
    };
    let names = folder.map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names.iter().flat_map(|name| texts(&format!("{place}/{name}"))).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl Source {
    /// A file of this path and text.
    pub fn new(path: &str, text: &str) -> Self {
        let mut code = without_texts(text);
        let kept = |code: &[u8]| {
            String::from_utf8(code.to_vec()).expect("whole characters are kept or blanked")
        };
        let code_with_tests = kept(&code);
        let test_lines = if path.ends_with("/tests.rs") || path.contains("/tests/") {
            blank(&mut code, 0..text.len());
            text.lines().count()
        } else {
            blank_tests(&mut code)
        };
        let code = kept(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, code_with_tests, test_lines }
    }

    /// The module of the crate it belongs to; all of another package is one.
    pub fn module(&self) -> &str {
        if let Some(package) = ["bench", "simulator"]
            .into_iter()
            .find(|name| self.path.starts_with(&format!("{name}/")))
        {
            return package;
        }
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// Where it may be found: the path and a line, for people.
    pub fn at(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.line(offset))
    }

    /// The line, counted from 1, of a byte.
    pub fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Where the code has `needle`, not as the end of a longer name.
    pub fn begins(&self, needle: &str) -> Vec<usize> {
        let before = |at: usize| self.code[..at].chars().next_back();
        let found = self.code.match_indices(needle).map(|(at, _)| at);
        found
            .filter(|at| !needle.starts_with(is_name) || !before(*at).is_some_and(is_name))
            .collect()
    }

    /// Where the code has `needle`, not as a part of a longer name.
    pub fn words(&self, needle: &str) -> Vec<usize> {
        let after = |at: usize| self.code[at + needle.len()..].chars().next();
        let mut found = self.begins(needle);
        found.retain(|at| !after(*at).is_some_and(is_name));
        found
    }

    /// What the code names directly behind `root::`, alone or in braces, and where.
    pub fn names_in(&self, root: &str) -> Vec<(usize, String)> {
        let root = format!("{root}::");
        let mut names = Vec::new();
        for at in self.begins(&root) {
            let rest = &self.code[at + root.len()..];
            names.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
        names
    }

    /// The texts in quotes that are not in tests, and where.
    pub fn texts(&self) -> Vec<(usize, String)> {
        let (bytes, mut at, mut found) = (self.text.as_bytes(), 0, Vec::new());
        while at < bytes.len() {
            let Some(end) = skipped(bytes, at) else {
                at += 1;
                continue;
            };
            if bytes[at] == b'"' && self.code.as_bytes()[at] == b'"' {
                found.push((at, self.text[at + 1..end - 1].to_owned()));
            }
            at = end;
        }
        found
    }
}

/// Whether a character belongs to names.
pub fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// `a::b` names `a`; `{a::b, c::{d, e}}` names `a` and `c`.
fn first_names(rest: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().chars().take_while(|c| is_name(*c)).collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut begin, mut names) = (1, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                names.push(name(&group[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
        if depth == 0 {
            names.push(name(&group[begin..at]));
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The bytes of `text`, with blanks for comments and for what is in quotes. The quotes stay.
fn without_texts(text: &str) -> Vec<u8> {
    let mut code = text.as_bytes().to_vec();
    let mut at = 0;
    while at < code.len() {
        match skipped(text.as_bytes(), at) {
            Some(end) if code[at] == b'"' => {
                blank(&mut code, at + 1..end - 1);
                at = end;
            }
            Some(end) => {
                blank(&mut code, at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    code
}

/// Where the comment or the literal that begins here ends; `None` if none begins here.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let find = |needle: &[u8], from: usize| {
        let found = rest[from..].windows(needle.len()).position(|window| window == needle);
        found.map_or(bytes.len(), |found| at + from + found + needle.len())
    };
    match rest {
        [b'/', b'/', ..] => Some(find(b"\n", 2) - 1).map(|end| end.max(at + 2)),
        [b'/', b'*', ..] => Some(find(b"*/", 2)),
        [b'r', more @ ..] => {
            let hashes = more.iter().take_while(|byte| **byte == b'#').count();
            let quoted = more.get(hashes) == Some(&b'"');
            let close: Vec<u8> =
                std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            quoted.then(|| find(&close, hashes + 2))
        }
        [b'"', ..] => Some(at + closed(rest, b'"')),
        [b'\'', b'\\', ..] => Some(at + closed(rest, b'\'')),
        [b'\'', more @ ..] => {
            // A lifetime has no second quote behind its first character.
            let length = 1 + more.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count();
            (more.get(length) == Some(&b'\'')).then_some(at + length + 2)
        }
        _ => None,
    }
}

/// How long a quoted text is, quotes included; a quote behind a backslash does not close it.
fn closed(quoted: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < quoted.len() && quoted[at] != quote {
        at += if quoted[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(quoted.len())
}

/// Blanks everything that is compiled for tests only; answers how many lines that were.
fn blank_tests(code: &mut [u8]) -> usize {
    const MARK: &[u8] = b"#[cfg(test)]";
    let mut lines = 0;
    while let Some(begin) = code.windows(MARK.len()).position(|window| window == MARK) {
        let (mut depth, mut end) = (0, begin + MARK.len());
        while let Some(byte) = code.get(end) {
            depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
            end += 1;
            if depth == 0 && matches!(*byte, b'}' | b';') {
                break;
            }
        }
        lines += 1 + code[begin..end].iter().filter(|byte| **byte == b'\n').count();
        blank(code, begin..end);
    }
    lines
}

fn blank(code: &mut [u8], range: std::ops::Range<usize>) {
    code[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

#[test]
fn comments_texts_and_tests_are_not_code() {
    let text = r##"
        use crate::{hub::{Hub, lane}, model};  // crate::comment
        /* crate::block */ const A: &str = "crate::text \" crate::more"; const B: char = '"';
        fn f<'a>(x: &'a str) -> &'a str { r#"crate::raw " "# }
        #[cfg(test)]
        mod tests { use crate::app; fn g() { {} } }
        use crate::limits::Limits;
    "##;
    let file = Source::new("src/x/y.rs", text);
    let names: Vec<String> = file.names_in("crate").into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["hub", "model", "limits"]);
    assert_eq!((file.test_lines, file.module(), file.code.len()), (2, "x", text.len()));
    let texts: Vec<String> = file.texts().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, [r#"crate::text \" crate::more"#]);
}
