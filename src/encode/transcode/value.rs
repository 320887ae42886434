//! Items and the values in them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Refused;
use super::scan::Scanner;
use super::text::Text;
use super::wire::{close, field, field_len, head, open};
use crate::model::MAX_LEVELS;

/// Field 1, with a length: the key of a map's entry, the entries of a map, the values of a list or a set.
const ONE: u8 = 0x0a;

/// Field 2, with a length: the value of a map's entry.
const TWO: u8 = 0x12;

/// The longest that a name and a text may be together so that all lengths of their entry take one byte.
const MOST_SHORT: usize = 127 - 6;

/// The tags of `AttributeValue`'s fields.
mod tag {
    pub const S: u8 = 0x0a;
    pub const N: u8 = 0x12;
    pub const B: u8 = 0x1a;
    pub const SS: u8 = 0x22;
    pub const NS: u8 = 0x2a;
    pub const BS: u8 = 0x32;
    pub const M: u8 = 0x3a;
    pub const L: u8 = 0x42;
    pub const NULL: u8 = 0x48;
    pub const BOOL: u8 = 0x50;
}

/// A value whose length is known before it is written.
enum Scalar<'a> {
    Text(u8, Cow<'a, [u8]>),
    Bytes(Base64<'a>),
    Flag(u8, bool),
}

/// A value that holds others.
#[derive(Clone, Copy)]
enum Container {
    Texts(u8),
    Binaries,
    Map,
    List,
}

enum Value<'a> {
    Scalar(Scalar<'a>),
    Container(Container),
}

/// Bytes as base64, of which only the length has been looked at.
struct Base64<'a> {
    text: &'a [u8],
    length: usize,
}

/// Reads an object of values by name and writes each as an entry of the map that is field `tag`.
pub fn item(scan: &mut Scanner<'_>, out: &mut Vec<u8>, tag: u8, level: usize) -> Result<(), Refused> {
    scan.object(|scan, name| entry(scan, out, tag, name, level))
}

fn entry(scan: &mut Scanner<'_>, out: &mut Vec<u8>, tag: u8, name: Text<'_>, level: usize) -> Result<(), Refused> {
    let name = name.meaning()?;
    match begin(scan)? {
        Value::Scalar(Scalar::Text(kind, text)) if !name.is_empty() && name.len() + text.len() <= MOST_SHORT => {
            let (name_len, text_len) = (name.len() as u8, text.len() as u8);
            out.extend_from_slice(&[tag, name_len + text_len + 6, ONE, name_len]);
            out.extend_from_slice(&name);
            out.extend_from_slice(&[TWO, text_len + 2, kind, text_len]);
            out.extend_from_slice(&text);
        }
        Value::Scalar(scalar) => {
            let length = scalar.len();
            head(out, tag, key_len(&name) + field_len(length));
            key(out, &name);
            head(out, TWO, length);
            scalar.write(out)?;
        }
        Value::Container(kind) => {
            let entry = open(out, tag, 1);
            key(out, &name);
            let value = open(out, TWO, 1);
            container(scan, out, kind, level)?;
            close(out, value);
            close(out, entry);
        }
    }
    // Anything more would be a second type.
    scan.expect(b'}')
}

/// As prost does, an empty key is left out.
fn key_len(name: &[u8]) -> usize {
    if name.is_empty() { 0 } else { field_len(name.len()) }
}

fn key(out: &mut Vec<u8>, name: &[u8]) {
    if !name.is_empty() {
        field(out, ONE, name);
    }
}

fn element(scan: &mut Scanner<'_>, out: &mut Vec<u8>, level: usize) -> Result<(), Refused> {
    match begin(scan)? {
        Value::Scalar(scalar) => {
            head(out, ONE, scalar.len());
            scalar.write(out)?;
        }
        Value::Container(kind) => {
            let value = open(out, ONE, 1);
            container(scan, out, kind, level)?;
            close(out, value);
        }
    }
    scan.expect(b'}')
}

/// The type of a value, and the value itself if it is a scalar.
#[inline]
fn begin<'a>(scan: &mut Scanner<'a>) -> Result<Value<'a>, Refused> {
    let letter = scan.letter().map(|letter| [letter]);
    let kind = match &letter {
        Some(letter) => letter,
        None => {
            scan.expect(b'{')?;
            let kind = scan.text()?.plain()?;
            scan.expect(b':')?;
            kind
        }
    };
    Ok(match kind {
        b"S" => Value::Scalar(Scalar::Text(tag::S, scan.text()?.meaning()?)),
        b"N" => Value::Scalar(Scalar::Text(tag::N, scan.text()?.meaning()?)),
        b"B" => Value::Scalar(Scalar::Bytes(Base64::new(scan.text()?)?)),
        b"M" => Value::Container(Container::Map),
        b"L" => Value::Container(Container::List),
        b"NULL" => Value::Scalar(Scalar::Flag(tag::NULL, scan.flag()?)),
        b"BOOL" => Value::Scalar(Scalar::Flag(tag::BOOL, scan.flag()?)),
        b"SS" => Value::Container(Container::Texts(tag::SS)),
        b"NS" => Value::Container(Container::Texts(tag::NS)),
        b"BS" => Value::Container(Container::Binaries),
        _ => return Err(Refused),
    })
}

/// Writes a value inside `level` maps and lists; the recursion is bounded by that.
fn container(scan: &mut Scanner<'_>, out: &mut Vec<u8>, kind: Container, level: usize) -> Result<(), Refused> {
    let tag = match kind {
        Container::Texts(tag) => tag,
        Container::Binaries => tag::BS,
        Container::Map | Container::List if level >= MAX_LEVELS => return Err(Refused),
        Container::Map => tag::M,
        Container::List => tag::L,
    };
    let content = open(out, tag, 1);
    match kind {
        Container::Texts(_) => scan.array(|scan| {
            field(out, ONE, &scan.text()?.meaning()?);
            Ok(())
        }),
        Container::Binaries => scan.array(|scan| {
            let bytes = Base64::new(scan.text()?)?;
            head(out, ONE, bytes.length);
            bytes.write(out)
        }),
        Container::Map => item(scan, out, ONE, level + 1),
        Container::List => scan.array(|scan| element(scan, out, level + 1)),
    }?;
    close(out, content);
    Ok(())
}

impl Scalar<'_> {
    /// The length of the message that has only this.
    fn len(&self) -> usize {
        match self {
            Self::Text(_, text) => field_len(text.len()),
            Self::Bytes(bytes) => field_len(bytes.length),
            Self::Flag(..) => 2,
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Text(tag, text) => field(out, *tag, text),
            Self::Bytes(bytes) => {
                head(out, tag::B, bytes.length);
                bytes.write(out)?;
            }
            Self::Flag(tag, flag) => out.extend_from_slice(&[*tag, u8::from(*flag)]),
        }
        Ok(())
    }
}

impl<'a> Base64<'a> {
    fn new(text: Text<'a>) -> Result<Self, Refused> {
        let text = text.plain()?;
        if text.len() % 4 != 0 {
            return Err(Refused);
        }
        let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        Ok(Self { text, length: text.len() / 4 * 3 - padding })
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), Refused> {
        let start = out.len();
        out.resize(start + self.length, 0);
        match STANDARD.decode_slice(self.text, &mut out[start..]) {
            Ok(length) if length == self.length => Ok(()),
            _ => Err(Refused),
        }
    }
}
