//! The W3C trace context of a call, as its client sends it (`traceparent`): whoever follows a
//! request through many services finds it in our logs by the trace's id. Pure.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
const TRACEPARENT: &str = "traceparent";

/// Which trace a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace's id; never zero.
    pub trace_id: u128,
    /// The id of the span that the call is of; never zero.
    pub parent: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl TraceContext {
    /// That of a call with these headers; `None` without one, or where it is not whole: a bad header
    /// is no error, but no trace either.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        match (given.next(), given.next()) {
            (Some(only), None) => Self::parse(only.to_str().ok()?),
            (None, _) | (_, Some(_)) => None,
        }
    }

    /// `00-TRACE-PARENT-FLAGS`, in small hex digits. A later version may have more after it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let small = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            part.bytes().all(small).then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let version = hex(2).filter(|version| *version != 0xff)?;
        let trace_id = hex(32).filter(|id| *id != 0)?;
        let parent = hex(16).and_then(|id| u64::try_from(id).ok()).filter(|id| *id != 0)?;
        let sampled = hex(2)? & 1 == 1;
        let whole = version != 0 || parts.next().is_none();
        whole.then_some(Self { trace_id, parent, sampled })
    }
}

impl TraceContext {
    /// As a header.
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        let text = format!("00-{self}-{:016x}-{:02x}", self.parent, u8::from(self.sampled));
        let value = HeaderValue::from_str(&text).expect("hex digits and dashes");
        (HeaderName::from_static(TRACEPARENT), value)
    }
}

impl fmt::Display for TraceContext {
    /// The trace's id, as every tool shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace_id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_known_by_its_header() {
        let good = TraceContext::parse(GOOD).expect("good");
        assert_eq!(good.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((good.parent, good.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(good.header().1, GOOD);
        assert!(!TraceContext::parse(&GOOD.replace("-01", "-00")).expect("good").sampled);
        let later = format!("{}-more", GOOD.replacen("00", "cc", 1));
        assert_eq!(TraceContext::parse(&later), Some(good));
    }

    #[test]
    fn what_is_no_trace_is_none() {
        let zeros = "0".repeat(32);
        for bad in [
            String::new(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replace("4bf9", "4BF9"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros),
            GOOD.replace("00f067aa0ba902b7", &zeros[..16]),
            GOOD[..GOOD.len() - 1].to_owned(),
            format!("{GOOD}-more"),
            format!(" {GOOD}"),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4bg9"),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad:?}");
        }
        let value = || GOOD.parse().expect("a header");
        let twice = HeaderMap::from_iter([(http::HeaderName::from_static(TRACEPARENT), value())]);
        assert!(TraceContext::of(&twice).is_some());
        let mut two = twice.clone();
        two.append(TRACEPARENT, value());
        assert_eq!(TraceContext::of(&two), None, "whose?");
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_is_a_trace_or_none(text in "[0-9a-f-]{0,80}|\\PC{0,80}") {
            if let Some(trace) = TraceContext::parse(&text) {
                prop_assert!(trace.trace_id != 0 && trace.parent != 0);
            }
        }
    }
}
