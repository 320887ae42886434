//! Patterns of names: `*` stands for any run of characters, everything else for itself.

/// A pattern. A cheap one: it is matched in time of its length times the text's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// This byte.
    Byte(u8),
    /// Any run of bytes that are none of these.
    Run(&'static [u8]),
}

impl Pattern {
    /// The pattern of this text.
    pub fn new(text: &str) -> Self {
        Self::of(&[(text, &[])])
    }

    /// The pattern of these texts in a row; a `*` in one stands for no byte that is listed with it.
    pub fn of(texts: &[(&str, &'static [u8])]) -> Self {
        let part = |byte: u8, but: &'static [u8]| match byte {
            b'*' => Part::Run(but),
            byte => Part::Byte(byte),
        };
        let parts = texts.iter().flat_map(|(text, but)| text.bytes().map(move |b| part(b, but)));
        let mut parts: Vec<_> = parts.collect();
        parts.dedup_by(|next, last| next == last && matches!(last, Part::Run(_)));
        Self(parts)
    }

    /// Whether the text is one of those the pattern stands for.
    pub fn matches(&self, text: &str) -> bool {
        // The newest run, and the first byte of the text after it.
        let (mut run, mut at, mut next) = (None, 0, 0);
        let text = text.as_bytes();
        while next < text.len() {
            match self.0.get(at) {
                Some(Part::Run(but)) => {
                    run = Some((at, next, *but));
                    at += 1;
                }
                Some(Part::Byte(byte)) if *byte == text[next] => (at, next) = (at + 1, next + 1),
                _ => match run {
                    Some((of, taken, but)) if !but.contains(&text[taken]) => {
                        run = Some((of, taken + 1, but));
                        (at, next) = (of + 1, taken + 1);
                    }
                    _ => return false,
                },
            }
        }
        self.0[at..].iter().all(|part| matches!(part, Part::Run(_)))
    }

    /// Whether some text is one of those that both patterns stand for.
    pub fn meets(&self, other: &Self) -> bool {
        let width = other.0.len() + 1;
        // Whether the rests from here, of both, have a text in common; from the ends backwards.
        let mut meet = vec![false; (self.0.len() + 1) * width];
        for at in (0..=self.0.len()).rev() {
            for of in (0..width).rev() {
                let rest = |at: usize, of: usize| meet[at * width + of];
                let found = match (self.0.get(at), other.0.get(of)) {
                    (None, None) => true,
                    (Some(Part::Run(_)), None) => rest(at + 1, of),
                    (None, Some(Part::Run(_))) => rest(at, of + 1),
                    (Some(Part::Run(_)), Some(Part::Run(_))) => {
                        rest(at + 1, of) || rest(at, of + 1)
                    }
                    (Some(Part::Run(but)), Some(Part::Byte(byte))) => {
                        rest(at + 1, of) || (!but.contains(byte) && rest(at, of + 1))
                    }
                    (Some(Part::Byte(byte)), Some(Part::Run(but))) => {
                        rest(at, of + 1) || (!but.contains(byte) && rest(at + 1, of))
                    }
                    (Some(Part::Byte(one)), Some(Part::Byte(two))) => {
                        one == two && rest(at + 1, of + 1)
                    }
                    (Some(_), None) | (None, Some(_)) => false,
                };
                meet[at * width + of] = found;
            }
        }
        meet[0]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_star_is_special() {
        let matches = |pattern: &str, text: &str| Pattern::new(pattern).matches(text);
        assert!(matches("*", "") && matches("*", "anything") && matches("", ""));
        assert!(
            matches("table/orders-*", "table/orders-") && !matches("table/orders-*", "table/o")
        );
        assert!(matches("a*b*c", "aXbYbZc") && !matches("a*b*c", "acb"));
        assert!(!matches("a.c", "abc") && !matches("a?c", "abc") && !matches("[a]", "a"));
        assert!(!matches("", "a") && !matches("abc", "ab") && !matches("ab", "abc"));
    }

    #[test]
    fn patterns_that_have_a_text_in_common_meet() {
        let meet = |one: &str, two: &str| Pattern::new(one).meets(&Pattern::new(two));
        assert!(meet("a*", "*b") && !meet("a*", "b*") && meet("*", "") && !meet("a", ""));
        let orders =
            Pattern::of(&[("arn:*:dynamodb:*:*:table/orders/stream/", b":/"), ("*", b"/")]);
        let meets = |text: &str| Pattern::new(text).meets(&orders);
        assert!(meets("arn:aws:dynamodb:eu-*:1234*:table/orders/stream/*") && meets("*"));
        assert!(meets("arn:aws:dynamodb:eu-west-1:1:table/*/stream/2026*"));
        assert!(!meets("arn:aws:dynamodb:eu-west-1:1:table/other/stream/*"));
        assert!(!meets("arn:aws:dynamodb:eu-*:1*:table/other/stream/*"), "no field holds a field");
    }

    proptest! {
        #[test]
        fn a_text_of_both_makes_them_meet(
            one in "[ab*]{0,8}",
            two in "[ab*]{0,8}",
            text in "[ab]{0,6}",
        ) {
            let (one, two) = (Pattern::new(&one), Pattern::new(&two));
            if one.matches(&text) && two.matches(&text) {
                prop_assert!(one.meets(&two));
            }
            prop_assert_eq!(one.meets(&two), two.meets(&one));
            prop_assert_eq!(one.meets(&Pattern::new(&text)), one.matches(&text));
        }
    }
}
