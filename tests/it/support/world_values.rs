//! The items of a world's records.
//!
//! Stands alone, but for `marked` and `worlds`: the fuzz targets and the benchmark use it too.

use super::marked::{BEGIN, END};
use super::worlds::Author;

const ODD_NAMES: [&str; 4] = [
    "",
    "x\\n",
    "\\u0061",
    "a_name_of_more_bytes_than_those_that_are_learned_have_is_left_to_the_transcoder_",
];

/// The lengths on both sides of which something changes.
pub const LENGTHS: [usize; 26] = [
    0, 1, 2, 15, 16, 17, 31, 32, 33, 40, 70, 80, 110, 112, 113, 118, 119, 120, 121, 125, 126, 127,
    128, 129, 254, 255,
];
const LONG: [usize; 6] = [300, 16_260, 16_370, 16_383, 16_384, 16_390];

impl Author<'_, '_> {
    pub fn image(&mut self, most: usize) -> String {
        if self.odd() {
            return self
                .one(&[
                    "null",
                    "{}",
                    "{ }",
                    "{\"a\":{}}",
                    "{\"a\":{\"S\":null}}",
                    "{\"a\":{\"X\":1}}",
                    "{\"a\":{\"NULL\":\"true\"}}",
                ])
                .to_owned();
        }
        if self.is_odd && self.happens(10) {
            return self.deep();
        }
        let attributes = &self.world.attributes;
        self.item(&attributes[..attributes.len().min(most)], 0)
    }

    fn deep(&mut self) -> String {
        let levels = [2, 14, 15, 16, 17, 31, 32, 33][self.chance.usize(0..8)];
        let (open, close) =
            if self.happens(50) { ("{\"M\":{\"a\":", "}}") } else { ("{\"L\":[", "]}") };
        let inside = self.value(b'S', 9);
        format!("{{\"a\":{}{inside}{}}}", open.repeat(levels), close.repeat(levels))
    }

    fn item(&mut self, attributes: &[(&'static str, u8)], level: u32) -> String {
        let mut entries = Vec::new();
        for &(name, kind) in attributes {
            if self.happens(self.world.full) {
                let name = if self.odd() { self.one(&ODD_NAMES) } else { name };
                let kind = if self.happens(self.world.restless) {
                    self.chance.choice(*b"SNtFML").unwrap_or(b'S')
                } else {
                    kind
                };
                let value = self.value(kind, level);
                entries.push(format!("\"{name}\":{value}"));
            }
        }
        if self.happens(self.world.restless) {
            self.chance.shuffle(&mut entries);
        }
        if self.odd() && !entries.is_empty() {
            entries.push(entries[0].clone());
        }
        format!("{{{}}}", entries.join(","))
    }

    fn value(&mut self, kind: u8, level: u32) -> String {
        if self.odd() {
            let odd = [
                "{\"S\":\"a\",\"N\":\"1\"}",
                "{}",
                "{\"S\":\"a\",\"S\":\"b\"}",
                "{\"\\u0053\":\"a\"}",
                "{\"BOOL\":null}",
                "{ \"S\" : \"a\" }",
                "7",
            ];
            return self.one(&odd).to_owned();
        }
        match kind {
            b'N' => format!("{{\"N\":\"{BEGIN}{}{END}\"}}", self.chance.u32(..)),
            b'B' => format!("{{\"B\":{}}}", self.base64()),
            b't' => format!("{{\"BOOL\":{}}}", self.chance.bool()),
            b'F' => format!("{{\"NULL\":{}}}", self.happens(90)),
            b's' => format!("{{\"SS\":[{}]}}", self.list(Self::text)),
            b'n' => format!(
                "{{\"NS\":[{}]}}",
                self.list(|author| format!("\"{BEGIN}{}{END}\"", author.chance.u8(..)))
            ),
            b'b' => format!("{{\"BS\":[{}]}}", self.list(Self::base64)),
            b'M' if level < 3 => {
                let inner = &self.world.inner;
                format!("{{\"M\":{}}}", self.item(inner, level + 1))
            }
            b'L' if level < 3 => {
                let all = self.list(|author| {
                    let kinds = &author.world.inner;
                    let other = author.happens(author.world.restless * 5);
                    let at = if other { author.chance.usize(0..kinds.len()) } else { 0 };
                    let kind = kinds[at].1;
                    author.value(kind, level + 1)
                });
                format!("{{\"L\":[{all}]}}")
            }
            _ => format!("{{\"S\":{}}}", self.text()),
        }
    }

    fn list(&mut self, each: impl Fn(&mut Self) -> String) -> String {
        let count = [1, 1, 1, 1, 2, 2, 0, 3][self.chance.usize(0..8)];
        (0..count).map(|_| each(self)).collect::<Vec<_>>().join(",")
    }

    fn length(&mut self) -> usize {
        match self.chance.u32(0..1_000) {
            0 => LONG[self.chance.usize(0..LONG.len())],
            1..200 => LENGTHS[self.chance.usize(0..LENGTHS.len())],
            _ => self.world.lengths[self.chance.usize(0..self.world.lengths.len())],
        }
    }

    /// Of a length that matters; some with escapes, some that look like what stands around them.
    fn text(&mut self) -> String {
        let mut text = match self.chance.u8(0..8) {
            0 => "0123456789".repeat(26),
            1 => "}},{[:".repeat(50),
            _ => "xyz".repeat(90),
        };
        let length = self.length();
        if length > text.len() {
            text = text.repeat(length / text.len() + 1);
        }
        text.truncate(length);
        if self.happens(15) {
            let usual = [
                "\\n",
                "\\\"",
                "\\u00e9",
                "\\ud83d\\ude00",
                "é",
                "\\/",
                "\\\\",
                "\\\"},\\\"a\\\":{\\\"S\\\":\\\"",
                "S",
                "\u{10ffff}",
                "\\u0000",
            ];
            let odd = ["\\ud800", "\\x", "\u{1}", "\\u00", "\u{1f}", "\\ud800\\u0041"];
            let piece = self.usual(&usual, &odd);
            text.insert_str(self.chance.usize(0..=length), piece);
        }
        format!("\"{BEGIN}{text}{END}\"")
    }

    fn base64(&mut self) -> String {
        let usual = ["", "AQ==", "AAE=", "AAEC", "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="];
        let end = self.usual(&usual, &["AQ", "AR==", "====", "A\\u0051==", "A Q=", "AQ=A"]);
        let whole = [0, 0, 0, 37, 38, 39, 40, 41, 42][self.chance.usize(0..9)];
        format!("\"{BEGIN}{}{end}{END}\"", "AAEC".repeat(whole))
    }
}
