//! The HTTP client below the SDK: which proxy a request uses, and which certificates it trusts.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::bounded::bounded;

/// Idle connections kept per host.
const IDLE_CONNECTIONS: usize = 32;

/// One value for each of the two routes of a request.
#[derive(Debug)]
struct Ways<T> {
    /// For this machine and its metadata services: never through a proxy.
    near: T,
    /// For all other hosts: through the proxies that the environment names.
    far: T,
}

/// A client that trusts `roots`, or the system's certificates when `None`.
pub(super) fn client(roots: Option<TlsContext>) -> SharedHttpClient {
    let roots = roots.unwrap_or_default();
    let (near, far) =
        (one_way(ProxyConfig::disabled(), roots.clone()), one_way(ProxyConfig::from_env(), roots));
    bounded(SharedHttpClient::new(Ways { near, far }))
}

fn one_way(proxy: ProxyConfig, roots: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(roots.clone())
            .proxy_config(proxy.clone())
            .pool_max_idle_per_host(IDLE_CONNECTIONS);
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

impl HttpClient for Ways<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let [near, far] =
            [&self.near, &self.far].map(|way| way.http_connector(settings, components));
        SharedHttpConnector::new(Ways { near, far })
    }
}

impl HttpConnector for Ways<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let way = if is_near(request.uri()) { &self.near } else { &self.far };
        way.call(request)
    }
}

/// Whether the URL names this machine, or an address that only this machine can reach.
pub(super) fn is_near(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let Some(host) = url.host() else { return false };
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Ok(IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => ip.is_loopback() || ip.is_link_local(),
            // The last condition is the prefix of AWS's metadata services.
            None => {
                ip.is_loopback()
                    || ip.is_unicast_link_local()
                    || ip.segments()[..2] == [0xfd00, 0x0ec2]
            }
        },
        Err(_) => {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

/// Reads the certificates of `bundle`, to be trusted instead of the system's.
pub(super) fn roots(bundle: &Path) -> io::Result<TlsContext> {
    let pem = fs::read(bundle)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| io::Error::other("not PEM"))?;
    if found.is_empty() {
        return Err(io::Error::other("no certificate in it"));
    }
    // The SDK would panic at an invalid certificate, and only at the first call.
    if found.iter().any(|certificate| webpki::anchor_from_trusted_cert(certificate).is_err()) {
        return Err(io::Error::other("what is in it is no certificate"));
    }
    let store = TrustStore::empty().with_pem_certificate(pem);
    TlsContext::builder().with_trust_store(store).build().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_goes_through_no_proxy() {
        for near in [
            "http://localhost:8000/",
            "http://LOCALHOST",
            "http://db.localhost.:1",
            "http://127.0.0.1:8000",
            "http://127.9.9.9",
            "https://[::1]:4566/x",
            "http://[::ffff:127.0.0.1]",
            "http://0.0.0.0:8000",
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/latest",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in [
            "https://streams.dynamodb.eu-west-1.amazonaws.com",
            "http://localhost.evil.test",
            "http://notlocalhost",
            "http://10.0.0.1:8000",
            "http://[fd00:ec3::1]",
            "http://[2001:db8::1]",
            "not a url",
        ] {
            assert!(!is_near(far), "{far}");
        }
    }
}
