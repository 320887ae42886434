//! Follows the HTTP/2 frame headers in a client's bytes, skipping the frames' content. Pure.
//!
//! It sees the bytes before hyper does and refuses nothing: hyper checks whether frames are valid.

/// Bytes of the preface, which a client sends first.
const PREFACE: usize = 24;

/// Bytes of a frame's head: length (three bytes), kind, flags, stream id.
const HEAD: usize = 9;

/// The kind of the frame that cancels a call.
const RST_STREAM: u8 = 3;

/// The parser's state within a client's bytes.
#[derive(Debug)]
pub struct ClientFrames {
    /// Bytes to skip before the next head: of the preface, then of a frame's content.
    skip: usize,
    /// The part of the next head that was read; `seen` bytes of it are valid.
    head: [u8; HEAD],
    seen: usize,
    /// How many complete heads were read.
    heads: Heads,
}

/// A count of heads, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heads {
    None,
    One,
    /// Two heads, or one with all of its content.
    More,
}

impl ClientFrames {
    /// At the start, before the preface.
    pub fn new() -> Self {
        Self { skip: PREFACE, head: [0; HEAD], seen: 0, heads: Heads::None }
    }

    /// Takes the next bytes, cut anywhere; returns how many frames in them cancel a call.
    pub fn take(&mut self, mut read: &[u8]) -> usize {
        let mut resets = 0;
        loop {
            let skipped = self.skip.min(read.len());
            self.skip -= skipped;
            read = &read[skipped..];
            if self.skip == 0 && self.heads == Heads::One {
                self.heads = Heads::More;
            }
            if read.is_empty() {
                return resets;
            }
            let more = (HEAD - self.seen).min(read.len());
            self.head[self.seen..self.seen + more].copy_from_slice(&read[..more]);
            self.seen += more;
            read = &read[more..];
            if self.seen == HEAD {
                let [high, middle, low, kind, ..] = self.head;
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.seen = 0;
                self.heads = if self.heads == Heads::None { Heads::One } else { Heads::More };
                resets += usize::from(kind == RST_STREAM);
            }
        }
    }

    /// Whether the preface and the first frame arrived completely: the client speaks HTTP/2.
    pub fn have_begun(&self) -> bool {
        self.heads == Heads::More
    }
}

impl Default for ClientFrames {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], content].concat()
    }

    #[test]
    fn a_client_has_begun_with_the_last_byte_of_its_first_frame() {
        let sent = [OPENING, &frame(4, &[7; 18]), b"more"].concat();
        let whole = sent.len() - 4;
        for piece in [1, 2, 5, 23, 24, 33, whole] {
            let mut frames = ClientFrames::new();
            let mut seen = 0;
            for read in sent.chunks(piece) {
                seen += read.len();
                assert_eq!(frames.take(read), 0);
                assert_eq!(frames.have_begun(), seen >= whole, "{seen} bytes by {piece}");
            }
        }
        let mut empty = ClientFrames::new();
        assert_eq!(empty.take(&[OPENING, &frame(4, &[])].concat()), 0);
        assert!(empty.have_begun());
    }

    proptest! {
        #[test]
        fn every_reset_is_counted_once_however_the_bytes_are_cut(
            sent in prop::collection::vec((0..10u8, prop::collection::vec(prop::sample::select(&[0u8, 3, 4][..]), 0..400)), 0..40),
            cuts in prop::collection::vec(1..300usize, 1..50),
        ) {
            let resets = sent.iter().filter(|(kind, _)| *kind == RST_STREAM).count();
            let frames = sent.iter().flat_map(|(kind, content)| frame(*kind, content));
            let bytes: Vec<u8> = OPENING.iter().copied().chain(frames).collect();
            let (mut frames, mut counted, mut rest) = (ClientFrames::new(), 0, &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (read, more) = rest.split_at((*cut).min(rest.len()));
                counted += frames.take(read);
                rest = more;
            }
            prop_assert_eq!(counted, resets);
            prop_assert_eq!(frames.have_begun(), !sent.is_empty());
        }
    }
}
