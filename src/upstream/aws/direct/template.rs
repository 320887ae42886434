//! What all requests have in common, and what signs the rest.

use std::time::Duration;

use aws_sdk_dynamodbstreams::config::{ConfigBag, Credentials, RuntimeComponents};
use aws_sdk_dynamodbstreams::primitives::{DateTime, DateTimeFormat};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningInstructions, SigningSettings,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeId};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityCacheLocation, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache,
    SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use serde::Serialize;

use super::clock_skew::ClockSkew;
use super::lesson::Heard;

/// Signature version 4 with a shared key. Any other is left to the SDK.
const SCHEME: AuthSchemeId = AuthSchemeId::new("sigv4");

/// Headers that are of one request: who signed it and when, how long it is, and the SDK's number
/// of the call and of the attempt.
const OF_ONE: [&str; 6] = [
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "content-length",
    "x-amz-date",
    "x-amz-security-token",
];

/// Headers that the signer adds by itself.
const OF_THE_SIGNER: [&str; 3] = ["authorization", "x-amz-date", "x-amz-security-token"];

/// What GetRecords is asked, as the SDK writes it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Question<'a> {
    shard_iterator: &'a str,
    limit: i32,
}

/// What all requests have in common, learned from one of the SDK's.
#[derive(Debug)]
pub(super) struct Template {
    /// The request without what is of one alone.
    blank: HttpRequest,
    signing: Signing,
    who: Who,
    connector: SharedHttpConnector,
    time: Option<Duration>,
}

/// What is signed, and for whom.
#[derive(Debug, PartialEq, Eq)]
struct Signing {
    /// The names of the headers.
    headers: Vec<String>,
    region: String,
    service: String,
}

/// Where credentials come from.
#[derive(Debug)]
struct Who {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

impl Template {
    /// Learns from a request of the SDK. `Err` when it would not be signed the same here; `None`
    /// when that cannot be known, for the credentials were renewed since.
    pub(super) async fn from(heard: Heard) -> Result<Option<Self>, BoxError> {
        let config = heard.config();
        let Heard { mut request, components, timeouts, .. } = heard;
        let scheme = components.auth_scheme(SCHEME).ok_or("it is not signed by version 4")?;
        let resolver = scheme.identity_resolver(&components).ok_or("there are no credentials")?;
        if resolver.cache_location() != IdentityCacheLocation::RuntimeComponents {
            return Err("its credentials are kept elsewhere".into());
        }
        let settings = {
            let mut settings = HttpConnectorSettings::builder();
            settings.set_connect_timeout(timeouts.connect_timeout());
            settings.set_read_timeout(timeouts.read_timeout());
            settings.build()
        };
        let client = components.http_client().ok_or("there is no HTTP client")?;
        let connector = client.http_connector(&settings, &components);
        let who = Who { cache: components.identity_cache(), resolver, components, config };
        let signing = Signing::of(&request).ok_or("its signature is of another form")?;
        let (signature, identity) = (header(&request, "authorization")?, who.identity().await?);
        let key = identity.data::<Credentials>().ok_or("there is no key")?.access_key_id();
        if !signature.contains(&format!("Credential={key}/")) {
            return Ok(None);
        }
        if signing.again(&request, &identity)? != signature {
            return Err("it is signed otherwise".into());
        }
        *request.body_mut() = SdkBody::empty();
        for name in OF_ONE {
            request.headers_mut().remove(name);
        }
        let limits = [timeouts.operation_attempt_timeout(), timeouts.operation_timeout()];
        let time = limits.into_iter().flatten().min();
        Ok(Some(Self { blank: request, signing, who, connector, time }))
    }

    /// How long a call may take, finding credentials included.
    pub(super) fn time(&self) -> Option<Duration> {
        self.time
    }

    /// The time by our clock.
    pub(super) fn now(&self) -> DateTime {
        self.who.components.time_source().unwrap_or_default().now().into()
    }

    /// Sends a request.
    pub(super) fn send(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.connector.call(request)
    }

    /// A signed request.
    pub(super) async fn request(
        &self,
        iterator: &str,
        limit: i32,
        skew: &ClockSkew,
    ) -> Result<HttpRequest, BoxError> {
        let body = serde_json::to_vec(&Question { shard_iterator: iterator, limit })?;
        let identity = self.who.identity().await?;
        let mut request = self.blank.try_clone().ok_or("a body that cannot be copied")?;
        let now = skew.corrected(self.now());
        let (headers, _) = self.signing.sign(&request, &body, &identity, now)?.into_parts();
        for header in headers {
            let mut value: http::HeaderValue = header.value().parse()?;
            value.set_sensitive(header.sensitive());
            request.headers_mut().try_insert(header.name(), value)?;
        }
        *request.body_mut() = body.into();
        Ok(request)
    }
}

impl Who {
    async fn identity(&self) -> Result<Identity, BoxError> {
        let Self { cache, resolver, components, config } = self;
        cache.resolve_cached_identity(resolver.clone(), components, config).await
    }
}

impl Signing {
    /// What the SDK signed, as its signature says.
    fn of(request: &HttpRequest) -> Option<Self> {
        let signature = request.headers().get("authorization")?;
        let mut parts = signature.strip_prefix("AWS4-HMAC-SHA256 ")?.split(", ");
        let credential = parts.next()?.strip_prefix("Credential=")?;
        let headers = parts.next()?.strip_prefix("SignedHeaders=")?;
        // KEY/20260102/us-east-1/dynamodb/aws4_request
        let mut scope = credential.rsplit('/').skip(1);
        Some(Self {
            service: scope.next()?.to_owned(),
            region: scope.next()?.to_owned(),
            headers: headers.split(';').map(str::to_owned).collect(),
        })
    }

    /// The signature of a request that is signed already, made anew.
    fn again(&self, request: &HttpRequest, identity: &Identity) -> Result<String, BoxError> {
        // 20260102T030405Z
        let mut time = header(request, "x-amz-date")?.to_owned();
        for (at, separator) in [(4, '-'), (7, '-'), (13, ':'), (16, ':')] {
            if !time.is_char_boundary(at) {
                return Err("it bears no time".into());
            }
            time.insert(at, separator);
        }
        let time = DateTime::from_str(&time, DateTimeFormat::DateTime)?;
        let body = request.body().bytes().ok_or("its body is not known")?;
        let made = self.sign(request, body, identity, time)?;
        let signature = made.headers().find(|(name, _)| *name == "authorization");
        Ok(signature.map(|(_, value)| value.to_owned()).unwrap_or_default())
    }

    fn sign(
        &self,
        request: &HttpRequest,
        body: &[u8],
        identity: &Identity,
        time: DateTime,
    ) -> Result<SigningInstructions, BoxError> {
        let params = SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name(&self.service)
            .time(time.try_into()?)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = request.headers().iter().filter(|(name, _)| {
            !OF_THE_SIGNER.contains(name) && self.headers.iter().any(|signed| signed == name)
        });
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new(request.method(), request.uri(), headers, body)?;
        Ok(aws_sigv4::http_request::sign(request, &params)?.into_parts().0)
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Result<&'a str, &'static str> {
    request.headers().get(name).ok_or("a header is missing")
}
