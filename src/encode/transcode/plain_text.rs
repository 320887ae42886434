//! Where plain text ends in JSON, found sixteen bytes at a time.

use wide::u8x16;

/// How many leading bytes are neither a quote nor a backslash nor a control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (steps, rest) = bytes.as_chunks::<16>();
    for (index, step) in steps.iter().enumerate() {
        let special = special(step);
        if special != 0 {
            return index * 16 + special.trailing_zeros() as usize;
        }
    }
    let in_rest =
        rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
    steps.len() * 16 + in_rest
}

/// A bit mask of the bytes that are a quote, a backslash or a control character; the lowest bit is
/// the first byte.
#[inline]
pub(super) fn special(step: &[u8; 16]) -> u32 {
    let bytes = u8x16::new(*step);
    // A quote is the one byte of those from 0x20 on that is at most 0x20 with its second bit
    // turned; control characters stay below.
    let turned = bytes ^ u8x16::splat(2);
    let control_or_quote = turned.min(u8x16::splat(0x20)).simd_eq(turned);
    (bytes.simd_eq(u8x16::splat(b'\\')) | control_or_quote).to_bitmask()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_text_ends_where_it_ends_byte_by_byte(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(0x1f), Just(0x80)], 0..40),
        ) {
            let slowly = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain(&bytes), slowly.unwrap_or(bytes.len()));
        }
    }
}
