//! From when until when a certificate is valid. Pure.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::model::Timestamp;

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: Timestamp,
    /// The last second.
    pub not_after: Timestamp,
}

/// The validity of a certificate; `None` if it says none that can be read.
///
/// webpki tells the times only beside its refusal of a certificate that is not valid yet, or no
/// longer; it looks at them before it looks for an issuer.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    let refusal = |at: u64| {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        parsed.verify_for_usage(&[], &[], &[], at, KeyUsage::server_auth(), None, None).err()
    };
    let not_before = match refusal(0)? {
        Error::CertNotValidYet { not_before, .. } => not_before,
        // Valid since 1970 or earlier.
        _ => UnixTime::since_unix_epoch(Duration::ZERO),
    };
    let Error::CertExpired { not_after, .. } = refusal(u64::MAX)? else { return None };
    Some(Validity { not_before: timestamp(not_before)?, not_after: timestamp(not_after)? })
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::new(i64::try_from(time.as_secs()).ok()?, 0)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(from: (i32, u8, u8), until: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["server.test".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().clone()
    }

    #[test]
    fn a_certificate_says_from_when_until_when_it_is_valid() {
        let at = |text: &str| {
            let time: jiff::Timestamp = text.parse().expect("a time");
            Timestamp::new(time.as_second(), 0).expect("a time")
        };
        for (from, until, not_before, not_after) in [
            ((2026, 1, 31), (2027, 2, 1), "2026-01-31T00:00:00Z", "2027-02-01T00:00:00Z"),
            // Years from 2050 on are written in another form.
            ((1971, 1, 1), (2051, 12, 31), "1971-01-01T00:00:00Z", "2051-12-31T00:00:00Z"),
        ] {
            let validity = validity(&made(from, until)).expect("readable");
            assert_eq!(validity.not_before, at(not_before));
            assert_eq!(validity.not_after, at(not_after));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let whole = made((2026, 1, 1), (2027, 1, 1));
        for cut in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
            assert_eq!(validity(&CertificateDer::from(&whole[..cut])), None);
        }
    }
}
