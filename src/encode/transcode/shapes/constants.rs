//! What of a record's envelope hardly ever changes, as it is written.

use crate::encode::record_message::{change_type, view_type};
use crate::encode::transcode::Refused;
use crate::encode::transcode::meta::{UserIdentity, inner, tag};
use crate::encode::transcode::protobuf::{field, head};
use crate::pb;

/// The most bytes of constants that are learned.
const LONGEST: usize = 96;

/// ... and of those behind the id, so that the length of `Change` takes one byte with the longest
/// id.
const LONGEST_BEHIND_ID: usize = 64;

/// The constants of an envelope, as far as it is read.
#[derive(Debug, Default)]
pub(super) struct Constants<'a> {
    pub name: Option<&'a [u8]>,
    pub version: Option<&'a [u8]>,
    pub source: Option<&'a [u8]>,
    pub region: Option<&'a [u8]>,
    pub view: Option<&'a [u8]>,
    pub identity: Option<UserIdentity<'a>>,
}

/// Their protobuf, in two pieces: what follows the event's id in `Change`, and what follows the
/// size in `Meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    pub behind_id: Piece,
    pub behind_size: Piece,
}

/// A few bytes of protobuf, copied as a whole and at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Default for Piece {
    fn default() -> Self {
        Self { bytes: [0; LONGEST], length: 0 }
    }
}

impl Piece {
    fn new(bytes: &[u8]) -> Result<Self, Refused> {
        let mut piece = Self { length: bytes.len(), ..Self::default() };
        piece.bytes.get_mut(..bytes.len()).ok_or(Refused)?.copy_from_slice(bytes);
        Ok(piece)
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Writes it; returns where it ends. What is written behind that is undefined.
    #[inline(always)]
    pub(super) fn put(&self, slab: &mut [u8], at: usize) -> Option<usize> {
        *slab.get_mut(at..)?.first_chunk_mut()? = self.bytes;
        Some(at + self.length)
    }
}

impl Constants<'_> {
    /// Refused where a name is not known or a text is long, which is rare.
    pub(super) fn render(&self) -> Result<Rendered, Refused> {
        let (mut behind_id, mut behind_size) = (Vec::new(), Vec::new());
        let kind = change_type(self.name);
        if kind == pb::ChangeType::Unspecified && self.name.is_some() {
            return Err(Refused);
        }
        number(&mut behind_id, inner::NUMBER_2, kind as u8);
        text(&mut behind_id, inner::TEXT_3, self.version)?;
        if behind_id.len() > LONGEST_BEHIND_ID {
            return Err(Refused);
        }
        number(&mut behind_size, tag::STREAM_VIEW_TYPE, view_type(self.view) as u8);
        if let Some(who) = &self.identity {
            let mut inside = Vec::new();
            text(&mut inside, inner::TEXT_1, who.kind)?;
            text(&mut inside, inner::TEXT_2, who.principal_id)?;
            head(&mut behind_size, tag::USER_IDENTITY, inside.len());
            behind_size.extend_from_slice(&inside);
        }
        text(&mut behind_size, tag::AWS_REGION, self.region)?;
        text(&mut behind_size, tag::EVENT_SOURCE, self.source)?;
        Ok(Rendered { behind_id: Piece::new(&behind_id)?, behind_size: Piece::new(&behind_size)? })
    }
}

/// As everywhere in proto3, empty and zero values are left out.
fn text(out: &mut Vec<u8>, tag: u8, text: Option<&[u8]>) -> Result<(), Refused> {
    match text {
        Some(text) if text.len() > LONGEST => return Err(Refused),
        Some(text) if !text.is_empty() => field(out, tag, text),
        Some(_) | None => {}
    }
    Ok(())
}

fn number(out: &mut Vec<u8>, tag: u8, number: u8) {
    if number != 0 {
        out.extend_from_slice(&[tag, number]);
    }
}
