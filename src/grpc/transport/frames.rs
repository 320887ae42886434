//! Follows the HTTP/2 frame headers in the bytes of one direction of a connection, skipping the
//! frames' content. Pure.
//!
//! It sees a client's bytes before hyper does and refuses nothing: hyper checks whether frames are
//! valid.

/// Bytes of the preface, which a client sends first.
const PREFACE: usize = 24;

/// Bytes of a frame's head: length (three bytes), kind, flags, stream id.
const HEAD: usize = 9;

/// Bytes of an error code, the whole content of [`RST_STREAM`].
const CODE: usize = 4;

/// The kind of the frame that cancels a call.
const RST_STREAM: u8 = 3;

/// The codes with which a server resets a call because of what its client sent: PROTOCOL_ERROR,
/// FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR.
const CLIENTS_FAULT: [u32; 4] = [1, 3, 5, 6];

/// The parser's state within the bytes of one direction.
#[derive(Debug)]
pub struct Frames {
    /// Which resets count, by their code.
    counts: fn(u32) -> bool,
    /// Bytes to skip before the next head: of the preface, then of a frame's content.
    skip: usize,
    /// The part of the next head that was read, and of a reset its code; `seen` bytes of it are
    /// valid.
    head: [u8; HEAD + CODE],
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

impl Frames {
    /// What a client sends, from its preface on: every reset counts.
    pub fn of_client() -> Self {
        Self::begin(PREFACE, |_| true)
    }

    /// What a server sends: the resets count that its client brought about, which are calls
    /// cancelled by another way.
    pub fn of_server() -> Self {
        Self::begin(0, |code| CLIENTS_FAULT.contains(&code))
    }

    fn begin(skip: usize, counts: fn(u32) -> bool) -> Self {
        Self { counts, skip, head: [0; HEAD + CODE], seen: 0, heads: Heads::None }
    }

    /// Takes the next bytes, cut anywhere; returns how many resets in them count.
    pub fn take(&mut self, mut bytes: &[u8]) -> usize {
        let mut resets = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if self.skip == 0 && self.heads == Heads::One && self.seen == 0 {
                self.heads = Heads::More;
            }
            if bytes.is_empty() {
                return resets;
            }
            let more = (self.wanted() - self.seen).min(bytes.len());
            self.head[self.seen..self.seen + more].copy_from_slice(&bytes[..more]);
            self.seen += more;
            bytes = &bytes[more..];
            if self.seen == self.wanted() {
                resets += self.whole_head();
            }
        }
    }

    /// How many bytes of this frame to read: its head, and of a reset its code.
    fn wanted(&self) -> usize {
        let is_reset = self.seen >= HEAD && self.head[3] == RST_STREAM && self.length() >= CODE;
        if is_reset { HEAD + CODE } else { HEAD }
    }

    fn length(&self) -> usize {
        let [high, middle, low, ..] = self.head;
        u32::from_be_bytes([0, high, middle, low]) as usize
    }

    /// A frame's head was read, and of a reset its code: returns 1 for a reset that counts.
    fn whole_head(&mut self) -> usize {
        let read = self.seen - HEAD;
        self.skip = self.length() - read;
        self.seen = 0;
        self.heads = if self.heads == Heads::None { Heads::One } else { Heads::More };
        let [.., a, b, c, d] = self.head;
        usize::from(read == CODE && (self.counts)(u32::from_be_bytes([a, b, c, d])))
    }

    /// Whether the preface and the first frame arrived completely: the client speaks HTTP/2.
    pub fn have_begun(&self) -> bool {
        self.heads == Heads::More
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
            let mut frames = Frames::of_client();
            let mut seen = 0;
            for read in sent.chunks(piece) {
                seen += read.len();
                assert_eq!(frames.take(read), 0);
                assert_eq!(frames.have_begun(), seen >= whole, "{seen} bytes by {piece}");
            }
        }
        let mut empty = Frames::of_client();
        assert_eq!(empty.take(&[OPENING, &frame(4, &[])].concat()), 0);
        assert!(empty.have_begun());
    }

    #[test]
    fn of_a_servers_resets_those_count_that_its_client_brought_about() {
        let reset = |code: u32| frame(RST_STREAM, &code.to_be_bytes());
        let counted = (0..14).filter(|code| Frames::of_server().take(&reset(*code)) > 0);
        assert_eq!(counted.collect::<Vec<_>>(), CLIENTS_FAULT);
        assert!((0..14).all(|code| {
            Frames::of_client().take(&[OPENING, &frame(4, &[]), &reset(code)].concat()) == 1
        }));
    }

    /// The content of a frame; of a reset, a code first.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let code = prop_oneof![Just(vec![]), (0..14u8).prop_map(|code| vec![0, 0, 0, code])];
        let rest = prop::collection::vec(prop::sample::select(&[0u8, 3, 4][..]), 0..400);
        let rest = prop_oneof![Just(vec![]), rest];
        (code, rest).prop_map(|(code, rest)| [code, rest].concat())
    }

    proptest! {
        #[test]
        fn every_reset_is_counted_once_however_the_bytes_are_cut(
            sent in prop::collection::vec((0..10u8, content()), 0..40),
            cuts in prop::collection::vec(1..300usize, 1..50),
            client in any::<bool>(),
        ) {
            let code = |content: &[u8]| content.first_chunk().map(|code| u32::from_be_bytes(*code));
            let counts = |code| client || CLIENTS_FAULT.contains(&code);
            let resets = sent.iter().filter(|(kind, _)| *kind == RST_STREAM);
            let resets = resets.filter(|(_, content)| code(content).is_some_and(counts)).count();
            let bytes = sent.iter().flat_map(|(kind, content)| frame(*kind, content));
            let opening = if client { OPENING } else { &[] };
            let bytes: Vec<u8> = opening.iter().copied().chain(bytes).collect();
            let frames = if client { Frames::of_client() } else { Frames::of_server() };
            let (mut frames, mut counted, mut rest) = (frames, 0, &bytes[..]);
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
