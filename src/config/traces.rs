//! Where spans of calls are sent: by our flag, or by OpenTelemetry's own variables.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::CheckError;
use super::environment::variable;

/// A collector of traces.
#[derive(Clone, PartialEq)]
pub struct TracesConfig {
    /// Where it takes OTLP by gRPC.
    pub endpoint: Uri,
    /// What it knows this server by.
    pub service: String,
    /// What each request shows it, secrets among them.
    pub headers: HeaderMap,
}

impl fmt::Debug for TracesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, service, .. } = self;
        f.debug_struct("TracesConfig")
            .field("endpoint", endpoint)
            .field("service", service)
            .finish_non_exhaustive()
    }
}

/// Where spans are sent, checked; `None`: nowhere. The flag beats OpenTelemetry's variables.
pub(super) fn traces(flag: Option<&str>) -> Result<Option<TracesConfig>, CheckError> {
    of(flag, |name| variable(name).filter(|value| !value.is_empty()))
}

fn of(
    flag: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<TracesConfig>, CheckError> {
    let is_off = variable("OTEL_SDK_DISABLED")
        .is_some_and(|said| said.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    let theirs = || {
        let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        endpoint.or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT")).filter(|_| !is_off)
    };
    let Some(endpoint) = flag.map(str::to_owned).or_else(theirs) else { return Ok(None) };
    let refused = CheckError::Url("otlp-endpoint");
    let endpoint: Uri = endpoint.parse().map_err(|_| refused.clone())?;
    let host = endpoint.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if !host || !matches!(endpoint.scheme_str(), Some("http" | "https")) {
        return Err(refused);
    }
    let said = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_HEADERS"))
        .unwrap_or_default();
    Ok(Some(TracesConfig {
        endpoint,
        service: variable("OTEL_SERVICE_NAME").unwrap_or_else(|| env!("CARGO_PKG_NAME").into()),
        headers: headers(&said).ok_or(CheckError::OtlpHeaders)?,
    }))
}

/// The headers that a variable says: `name=value,...`; `None`: it says something else.
fn headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let mut value: HeaderValue = value.trim().parse().ok()?;
        value.set_sensitive(true);
        headers.insert(name.trim().to_ascii_lowercase().parse::<HeaderName>().ok()?, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let traces = of(flag, value).map_err(|error| error.to_string())?;
        Ok(traces.map(|traces| format!("{} {}", traces.endpoint, traces.service)))
    }

    #[test]
    fn a_flag_beats_opentelemetrys_variables() {
        let own = Some("http://collector:4317");
        let theirs = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4317"),
            ("OTEL_SERVICE_NAME", "streams"),
        ];
        assert_eq!(said(None, &[]), Ok(None));
        assert_eq!(said(own, &[]), Ok(Some("http://collector:4317/ shardstream".into())));
        assert_eq!(said(own, &theirs), Ok(Some("http://collector:4317/ streams".into())));
        assert_eq!(said(None, &theirs), Ok(Some("http://other:4317/ streams".into())));
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces");
        assert_eq!(
            said(None, &[theirs[0], traces]),
            Ok(Some("https://traces/ shardstream".into()))
        );
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(said(None, &[theirs[0], off]), Ok(None));
            assert!(said(own, &[off]).expect("sane").is_some(), "the flag says so");
        }
    }

    #[test]
    fn what_is_no_collector_is_refused_and_no_secret_told() {
        for bad in ["collector:4317", "ftp://a", "http://user:secret@a", "http://", "x y"] {
            let error = said(Some(bad), &[]).expect_err(bad);
            assert!(error.starts_with("--otlp-endpoint ") && !error.contains("secret"), "{error}");
        }
        let endpoint = Some("http://collector:4317");
        for bad in ["secret", "a=secret\nb", "a b=secret"] {
            let error = said(endpoint, &[("OTEL_EXPORTER_OTLP_HEADERS", bad)]).expect_err(bad);
            assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let good = "Authorization=Bearer secret, x-team=data,";
        let traces =
            of(endpoint, |name| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| good.to_owned()));
        let traces = traces.expect("sane").expect("some");
        assert_eq!(traces.headers.len(), 2);
        assert_eq!(traces.headers["authorization"], "Bearer secret");
        assert!(!format!("{traces:?}").contains("secret"));
    }
}
