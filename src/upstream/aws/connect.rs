//! Makes the SDK client from our options and the usual AWS configuration chain.

use std::path::PathBuf;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::config::IdentityCache;
use aws_sdk_dynamodbstreams::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodbstreams::config::{Credentials, SharedHttpClient};
use aws_types::service_config::ServiceConfigKey;

use super::http as way;
use crate::upstream::{Endpoint, UpstreamTraits};

/// The region for endpoints that ignore it: it only goes into the signature.
const STAND_IN_REGION: &str = "us-east-1";

/// AWS and most stand-ins round creation times to whole seconds. DynamoDB Local rounds to minutes,
/// which cannot be detected beforehand: a grain of minutes for every stand-in would give clients of
/// the others records from before the requested time.
const GRAIN: Duration = Duration::from_secs(1);

/// How to reach DynamoDB Streams. What is left unset is found as every AWS SDK finds it:
/// environment, profile, and so on.
#[derive(Clone, Debug)]
pub struct AwsOptions {
    /// The endpoint to call. Unset: `AWS_ENDPOINT_URL_DYNAMODB_STREAMS`, `AWS_ENDPOINT_URL`, the
    /// profile, else AWS's.
    pub endpoint_url: Option<String>,
    /// The region. Unset: the usual chain; for stand-ins, `us-east-1` if the chain has none.
    pub region: Option<String>,
    /// Sign with a made-up key, for emulators: no credentials are looked up, so a missing metadata
    /// service causes no delay.
    pub static_credentials: bool,
    /// Whether the endpoint supports AT_TIMESTAMP. Unset: AWS does, stand-ins do not.
    pub at_timestamp: Option<bool>,
    /// Whether the endpoint supports CHILD_SHARDS. Unset: yes. Stand-ins without support ignore the
    /// filter, and callers check the shards returned.
    pub child_shards: Option<bool>,
    /// A file of certificates that are trusted instead of the system's. Unset: `AWS_CA_BUNDLE`, the
    /// profile, else the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Leave every call to the SDK, GetRecords too.
    pub sdk_only: bool,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long a call may take, finding credentials included.
    pub operation_timeout: Duration,
    /// Attempts of one call, the first included. The callers make them, and pay for them.
    pub max_attempts: u32,
}

impl Default for AwsOptions {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: None,
            static_credentials: false,
            at_timestamp: None,
            child_shards: None,
            ca_bundle: None,
            sdk_only: false,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(30),
            max_attempts: 3,
        }
    }
}

/// Why no client could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No region is configured anywhere.
    #[error("no AWS region: set AWS_REGION, a region in the profile, or name an endpoint")]
    NoRegion,
    /// The endpoint is not a URL that can be called.
    #[error("the endpoint {0:?} is not an http:// or https:// URL")]
    Endpoint(String),
    /// The file of trusted certificates cannot be used.
    #[error("cannot trust the certificates in {}: {why}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// The client, and the properties of its upstream.
pub(super) async fn connect(
    options: &AwsOptions,
) -> Result<(Client, UpstreamTraits), ConnectError> {
    let config = find(options).await?;
    let url = endpoint_url(options, &config);
    if let Some(url) = &url {
        check(url)?;
    }
    let region = match (config.region(), &url) {
        (Some(region), _) => region.clone(),
        (None, Some(url)) if is_aws(url) => {
            Region::new(region_in(url).ok_or(ConnectError::NoRegion)?)
        }
        (None, Some(_)) => Region::from_static(STAND_IN_REGION),
        (None, None) => return Err(ConnectError::NoRegion),
    };
    // AWS's own endpoints may be given as a URL, too: those inside a private network have to be.
    let stand_in = url.clone().filter(|url| !is_aws(url));
    let traits = UpstreamTraits {
        region: region.to_string(),
        at_timestamp: options.at_timestamp.unwrap_or(stand_in.is_none()),
        child_shards: options.child_shards.unwrap_or(true),
        shared_numbers: stand_in.is_some(),
        grain: GRAIN,
        attempts: options.max_attempts.max(1),
        endpoint: stand_in.map_or(Endpoint::Aws, Endpoint::Custom),
    };
    let mut builder = aws_sdk_dynamodbstreams::config::Builder::from(&config).region(region);
    // No retries by the SDK: they would bypass the budgets. The callers retry.
    builder.set_retry_config(Some(RetryConfig::disabled()));
    if url.is_some() {
        // FIPS and dual stack choose among AWS's own endpoints; the SDK refuses them beside a given
        // URL.
        builder = builder.use_fips(false).use_dual_stack(false);
    }
    // The endpoint that the SDK would find itself, set explicitly: so that it cannot call another
    // than `traits` names.
    builder.set_endpoint_url(url);
    Ok((Client::from_conf(builder.build()), traits))
}

/// `client` with credentials looked up anew: the files they were read from may have changed.
pub(super) async fn with_new_credentials(
    client: &Client,
    options: &AwsOptions,
) -> Result<Client, ConnectError> {
    let config = find(options).await?;
    let mut builder = client.config().to_builder().identity_cache(IdentityCache::lazy().build());
    builder.set_credentials_provider(config.credentials_provider());
    Ok(Client::from_conf(builder.build()))
}

/// The usual AWS chain, with `options` taking precedence. The lookups themselves use its CA bundle,
/// too.
pub(super) async fn find(options: &AwsOptions) -> Result<SdkConfig, ConnectError> {
    if let Some(path) = &options.ca_bundle {
        return trusting(options, path.clone()).await;
    }
    let config = load(options, way::client(None)).await;
    // Plain HTTP without a credentials lookup needs no certificates: the database of `dev`, for
    // example.
    let plain = options.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    match ca_bundle(&config) {
        Some(path) if !(plain && options.static_credentials) => trusting(options, path).await,
        Some(_) | None => Ok(config),
    }
}

async fn trusting(options: &AwsOptions, path: PathBuf) -> Result<SdkConfig, ConnectError> {
    match way::roots(&path) {
        Ok(roots) => Ok(load(options, way::client(Some(roots))).await),
        Err(error) => Err(ConnectError::Roots { path, why: error.to_string() }),
    }
}

/// The certificates that all AWS tools trust: `AWS_CA_BUNDLE`, or `ca_bundle` in the profile.
fn ca_bundle(config: &SdkConfig) -> Option<PathBuf> {
    let key = ServiceConfigKey::builder()
        .service_id("none")
        .env("AWS_CA_BUNDLE")
        .profile("ca_bundle")
        .build()
        .ok()?;
    config.service_config()?.load_config(key).filter(|path| !path.is_empty()).map(PathBuf::from)
}

async fn load(options: &AwsOptions, http_client: SharedHttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(options.connect_timeout)
        .operation_attempt_timeout(options.attempt_timeout)
        .operation_timeout(options.operation_timeout)
        .build();
    // No stalled-stream protection: the attempt timeout limits a body that stalls.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client)
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &options.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if options.static_credentials {
        loader = loader.credentials_provider(Credentials::new(
            "shardstream",
            "shardstream",
            None,
            None,
            "static",
        ));
    }
    match &options.region {
        Some(region) => loader = loader.region(Region::new(region.clone())),
        // The full chain would ask the instance metadata service, which does not respond on a
        // laptop.
        None if options.static_credentials => {
            let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
            loader = loader.region(chain.or_else(STAND_IN_REGION));
        }
        None => {}
    }
    loader.load().await
}

/// The endpoint, in the SDK's order: our option, the setting of this service, the setting for all
/// services.
fn endpoint_url(options: &AwsOptions, config: &SdkConfig) -> Option<String> {
    if options.endpoint_url.is_some() {
        return options.endpoint_url.clone();
    }
    // AWS's documentation names it `dynamodb_streams` in the `services` section of a profile; the
    // Rust SDK looks for `dynamodb-streams`.
    let own = ["dynamodb_streams", "DynamoDB Streams"].into_iter().find_map(|service| {
        let key = ServiceConfigKey::builder()
            .service_id(service)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url");
        config.service_config()?.load_config(key.build().ok()?).filter(|url| !url.is_empty())
    });
    own.or_else(|| config.endpoint_url().map(str::to_owned)).filter(|url| !url.is_empty())
}

/// Whether the URL is AWS's own: a public endpoint, or one inside a private network (`vpce`).
fn is_aws(url: &str) -> bool {
    const DOMAINS: [&str; 5] = [
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".api.aws",
        ".api.amazonwebservices.com.cn",
    ];
    host(url).is_some_and(|host| DOMAINS.iter().any(|domain| host.ends_with(domain)))
}

/// The region in an AWS endpoint's host name: `eu-west-3`, `us-gov-east-1`.
fn region_in(url: &str) -> Option<String> {
    let is_region = |part: &&str| {
        let words: Vec<&str> = part.split('-').collect();
        let [area, .., count] = words.as_slice() else { return false };
        let letters = words[..words.len() - 1]
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
        words.len() >= 3
            && area.len() == 2
            && letters
            && count.len() == 1
            && count.as_bytes()[0].is_ascii_digit()
    };
    host(url)?.split('.').find(is_region).map(str::to_owned)
}

fn host(url: &str) -> Option<String> {
    let host = url.parse::<http::Uri>().ok()?.host()?.to_ascii_lowercase();
    Some(host.trim_end_matches('.').to_owned())
}

fn check(url: &str) -> Result<(), ConnectError> {
    let parsed: Option<http::Uri> = url.parse().ok();
    match parsed {
        Some(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
            Ok(())
        }
        _ => Err(ConnectError::Endpoint(url.to_owned())),
    }
}
