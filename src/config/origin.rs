//! The origin of a page, as browsers write it. Pure.

use http::uri::Authority;

/// `text` as a browser sends it in `Origin`: without the port that the scheme has anyway. `None`:
/// it is no origin.
pub(super) fn parse(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    if rest.contains(['/', '@', '*']) || rest != rest.to_lowercase() {
        return None;
    }
    let authority = rest.parse::<Authority>().ok()?;
    let host = authority.host();
    match authority.port() {
        None if authority.as_str() == host => Some(format!("{scheme}://{host}")),
        // A colon without a port.
        None => None,
        Some(port) if port.as_u16() == usual => Some(format!("{scheme}://{host}")),
        Some(port) => Some(format!("{scheme}://{host}:{}", port.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_port_that_a_scheme_has_anyway_is_left_out_as_browsers_do() {
        for (given, sent) in [
            ("https://a.b", "https://a.b"),
            ("https://a.b:443", "https://a.b"),
            ("http://a.b:80", "http://a.b"),
            ("http://a.b:443", "http://a.b:443"),
            ("https://a.b:80", "https://a.b:80"),
            ("https://a.b:08443", "https://a.b:8443"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(parse(given).as_deref(), Some(sent), "{given}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_no_origin() {
        for none in [
            "a.b",
            "ftp://a.b",
            "https://",
            "https://a.b/",
            "https://A.b",
            "https://a.b:",
            "https://a@b",
            "https://*.b",
            "null",
            "https://a.b:70000",
        ] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
