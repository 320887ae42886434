//! The steps of an item's values.

use super::learn::Learner;
use super::step::{LengthBefore, Then};
use crate::encode::transcode::Refused;
use crate::encode::transcode::attribute_tags::{ONE, TWO, tag};
use crate::encode::transcode::json_scanner::Scanner;

/// Longer names are not learned: the lengths before a text have to be near it.
const LONGEST_NAME: usize = 80;

/// The entry of a map that a value is in: the map's tag, and the name.
type Entry<'a> = Option<(u8, &'a [u8])>;

impl<'a> Learner<'a> {
    pub(super) fn item(&mut self, scan: &mut Scanner<'a>, tag: u8) -> Result<(), Refused> {
        scan.object(|scan, name| {
            let name = name.plain()?;
            if name.is_empty() || name.len() > LONGEST_NAME {
                return Err(Refused);
            }
            self.value(scan, Some((tag, name)))
        })
    }

    /// A value of a map's entry or of a list.
    fn value(&mut self, scan: &mut Scanner<'a>, entry: Entry<'a>) -> Result<(), Refused> {
        scan.expect(b'{')?;
        let kind = scan.text()?.plain()?;
        scan.expect(b':')?;
        match kind {
            b"S" => self.scalar(scan, entry, tag::S, Then::Text),
            b"N" => self.scalar(scan, entry, tag::N, Then::Text),
            b"B" => self.scalar(scan, entry, tag::B, Then::Base64),
            b"NULL" => self.flag(scan, entry, tag::NULL),
            b"BOOL" => self.flag(scan, entry, tag::BOOL),
            b"M" => self.container(scan, entry, tag::M),
            b"L" => self.container(scan, entry, tag::L),
            b"SS" => self.container(scan, entry, tag::SS),
            b"NS" => self.container(scan, entry, tag::NS),
            b"BS" => self.container(scan, entry, tag::BS),
            _ => Err(Refused),
        }?;
        scan.expect(b'}')
    }

    fn scalar(
        &mut self,
        scan: &mut Scanner<'a>,
        entry: Entry<'a>,
        tag: u8,
        then: Then,
    ) -> Result<(), Refused> {
        // That of the text, that of the value, and that of the entry.
        let mut lengths = [
            LengthBefore { back: 1, more: 0 },
            LengthBefore { back: 3, more: 2 },
            LengthBefore::default(),
        ];
        match entry {
            Some((map, name)) => {
                let length = name.len() as u8;
                self.out.extend_from_slice(&[map, 0, ONE, length]);
                self.out.extend_from_slice(name);
                self.out.extend_from_slice(&[TWO, 0, tag, 0]);
                lengths[2] = LengthBefore { back: length + 7, more: length + 6 };
                self.text(scan, then, &lengths)
            }
            None => {
                self.out.extend_from_slice(&[ONE, 0, tag, 0]);
                self.text(scan, then, &lengths[..2])
            }
        }
    }

    /// A flag is part of the shape; what follows it is steps of their own.
    fn flag(&mut self, scan: &mut Scanner<'a>, entry: Entry<'a>, tag: u8) -> Result<(), Refused> {
        let value = [tag, u8::from(scan.flag()?)];
        match entry {
            Some((map, name)) => {
                let length = name.len() as u8;
                self.out.extend_from_slice(&[map, length + 6, ONE, length]);
                self.out.extend_from_slice(name);
                self.out.extend_from_slice(&[TWO, 2]);
            }
            None => self.out.extend_from_slice(&[ONE, 2]),
        }
        self.out.extend_from_slice(&value);
        self.step(scan, Then::Next, &[])
    }

    fn container(
        &mut self,
        scan: &mut Scanner<'a>,
        entry: Entry<'a>,
        tag: u8,
    ) -> Result<(), Refused> {
        match entry {
            Some((map, name)) => {
                self.out.push(map);
                self.open();
                self.out.extend_from_slice(&[ONE, name.len() as u8]);
                self.out.extend_from_slice(name);
                self.out.push(TWO);
            }
            None => self.out.push(ONE),
        }
        self.open();
        self.out.push(tag);
        self.open();
        self.state.enter(tag, entry.is_some())?;
        match tag {
            tag::M => self.item(scan, ONE),
            tag::L => scan.array(|scan| self.value(scan, None)),
            tag::BS => scan.array(|scan| self.element(scan, Then::Base64)),
            _ => scan.array(|scan| self.element(scan, Then::Text)),
        }?;
        self.state.leave();
        self.close();
        self.close();
        if entry.is_some() {
            self.close();
        }
        Ok(())
    }

    /// An element of a set.
    fn element(&mut self, scan: &mut Scanner<'a>, then: Then) -> Result<(), Refused> {
        self.out.extend_from_slice(&[ONE, 0]);
        self.text(scan, then, &[LengthBefore { back: 1, more: 0 }])
    }
}
