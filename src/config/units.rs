//! Values as people write them: `30s`, `256KiB`, `2.5`. Each type reads what it shows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration: `30s`, `200ms`, `1h 30m`, or `0` for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

/// A number of bytes: `64KiB`, `3MiB`, `1GB`, or a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size<T>(pub T);

/// A whole number, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count<T>(pub T);

/// So many a second; not negative, not infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate(pub f64);

/// What a flag of this type is called in the help, and how it is made of the plain value.
pub(super) trait Unit {
    /// The plain value.
    type Plain;
    /// The placeholder in the help.
    const NAME: &'static str;
    /// The flag's value for a plain one.
    fn of(plain: Self::Plain) -> Self;
}

/// The age at which response streams end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// 30 minutes on a public address, never on loopback.
    Auto,
    /// Never.
    Off,
    /// After this long.
    After(Duration),
}

/// Why a value was refused; the text is for whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error("a duration is written with its unit, such as 30s, 200ms or 5m")]
    Span,
    #[error("a size is a number of bytes or has a unit, such as 65536, 64KiB or 3MiB")]
    Size,
    #[error("a whole number of at least 1 is wanted")]
    Count,
    #[error("a number of at least 0 is wanted, such as 5 or 0.5")]
    Rate,
    #[error("the number is too large")]
    TooLarge,
    #[error("a duration such as 30m is wanted, or off for never, or auto")]
    Age,
}

/// The units of a size, the larger first; what is shown uses only the powers of two.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Unit for Span {
    type Plain = Duration;
    const NAME: &'static str = "DURATION";
    fn of(plain: Duration) -> Self {
        Self(plain)
    }
}

impl<T> Unit for Size<T> {
    type Plain = T;
    const NAME: &'static str = "BYTES";
    fn of(plain: T) -> Self {
        Self(plain)
    }
}

impl<T> Unit for Count<T> {
    type Plain = T;
    const NAME: &'static str = "N";
    fn of(plain: T) -> Self {
        Self(plain)
    }
}

impl Unit for Rate {
    type Plain = f64;
    const NAME: &'static str = "N";
    fn of(plain: f64) -> Self {
        Self(plain)
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        humantime::parse_duration(text).map(Self).map_err(|_| UnitError::Span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<T: TryFrom<u64>> FromStr for Size<T> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number.parse().map_err(|_| UnitError::Size)?;
        let factor = match unit.trim() {
            "" => 1,
            unit => {
                SIZE_UNITS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                    .ok_or(UnitError::Size)?
                    .1
            }
        };
        let bytes = number.checked_mul(factor).ok_or(UnitError::TooLarge)?;
        T::try_from(bytes).map(Self).map_err(|_| UnitError::TooLarge)
    }
}

impl<T: Copy + TryInto<u64>> fmt::Display for Size<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: u64 = self.0.try_into().unwrap_or(u64::MAX);
        match SIZE_UNITS[..3].iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
        {
            Some((name, factor)) => write!(f, "{}{name}", bytes / factor),
            None => write!(f, "{bytes}"),
        }
    }
}

impl<T: TryFrom<u64>> FromStr for Count<T> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.parse::<u64>() {
            Ok(0) | Err(_) => Err(UnitError::Count),
            Ok(number) => T::try_from(number).map(Self).map_err(|_| UnitError::TooLarge),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Count<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let rate: f64 = text.parse().map_err(|_| UnitError::Rate)?;
        if rate.is_finite() && rate >= 0.0 { Ok(Self(rate)) } else { Err(UnitError::Rate) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Age {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            text => match text.parse::<Span>() {
                Ok(Span(Duration::ZERO)) | Err(_) => Err(UnitError::Age),
                Ok(Span(age)) => Ok(Self::After(age)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_what_they_show() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("3MiB", 3 << 20),
            ("1500", 1_500),
            ("0", 0),
            ("1GB", 1_000_000_000),
        ] {
            let size: Size<usize> = text.parse().expect(text);
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string().parse::<Size<usize>>(), Ok(size), "{text}");
        }
        assert_eq!("64 kib".parse::<Size<u32>>(), Ok(Size(65_536)));
        assert_eq!("4GiB".parse::<Size<u32>>(), Err(UnitError::TooLarge));
        assert_eq!("99999999999GiB".parse::<Size<usize>>(), Err(UnitError::TooLarge));
        for bad in ["", "KiB", "-1", "1.5MiB", "64 K i B", "12parsecs"] {
            assert_eq!(bad.parse::<Size<usize>>(), Err(UnitError::Size), "{bad}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!("1m 30s".parse::<Span>(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("0".parse::<Span>(), Ok(Span(Duration::ZERO)));
        assert_eq!(Span(Duration::from_millis(200)).to_string(), "200ms");
        assert_eq!("30".parse::<Span>(), Err(UnitError::Span));
        assert_eq!("-1s".parse::<Span>(), Err(UnitError::Span));
    }

    #[test]
    fn counts_and_rates_are_sane() {
        assert_eq!("1".parse::<Count<u32>>(), Ok(Count(1)));
        assert_eq!("0".parse::<Count<u32>>(), Err(UnitError::Count));
        assert_eq!("4294967296".parse::<Count<u32>>(), Err(UnitError::TooLarge));
        assert_eq!("2.5".parse::<Rate>(), Ok(Rate(2.5)));
        for bad in ["NaN", "inf", "-1", "five"] {
            assert_eq!(bad.parse::<Rate>(), Err(UnitError::Rate), "{bad}");
        }
    }

    #[test]
    fn an_age_is_a_duration_or_a_word() {
        assert_eq!("auto".parse(), Ok(Age::Auto));
        assert_eq!("off".parse(), Ok(Age::Off));
        assert_eq!("30m".parse(), Ok(Age::After(Duration::from_secs(1_800))));
        assert_eq!("0s".parse::<Age>(), Err(UnitError::Age));
    }
}
