//! What no single flag can tell: whether they make sense together.

mod commands;

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "embedded")]
use super::SimulatorConfig;
#[cfg(feature = "embedded")]
use super::args::SimulatorFlags;
use super::args::{AccessFlags, ClientAuth, LogFlags, ServerFlags, TlsFlags, UpstreamFlags};
use super::listen::{ListenConfig, PlaintextAllowed};
use super::origin;
use super::traces::traces;
use super::{
    AccessConfig, AuditConfig, JwksSource, JwtConfig, LogConfig, ServeConfig, ServerTlsFiles,
    UpstreamConfig,
};
use crate::access::jwt::Expected;
use crate::limits::Limits;

pub(super) use commands::{client, tail, tree};

/// How old a response stream gets on an address that others can reach, unless configured: old
/// enough to be cheap, young enough that load spreads over new servers within the hour.
pub(super) const PUBLIC_STREAM_AGE: Duration = Duration::from_secs(30 * 60);

/// Why a configuration was refused; the text is for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Others could read everything.
    #[error(
        "--{flag} {address} can be reached by others and there is no TLS: use a loopback address, \
         {ways}"
    )]
    Plaintext {
        /// The flag that says the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What else can be done.
        ways: &'static str,
    },
    /// Others could learn the tokens.
    #[error(
        "tokens would be sent in the clear to --listen {0}: give it TLS with --tls-cert and \
         --tls-key, or say --allow-plaintext-tokens"
    )]
    PlaintextTokens(SocketAddr),
    /// Anybody could read everything.
    #[error(
        "--listen {0} can be reached by others and nobody is asked who they are: ask for tokens \
         with --tokens or --jwt-issuer, for certificates with --tls-client-ca, or say \
         --allow-anonymous"
    )]
    Anonymous(SocketAddr),
    /// Two servers on one address.
    #[error("--{0} and --{1} are the same address")]
    SameAddress(&'static str, &'static str),
    /// Keys that anybody on the way could replace.
    #[error("--jwt-jwks must be a file or https://HOST/PATH, without credentials in it")]
    JwksUrl,
    /// A smaller value that is larger.
    #[error("--{0} must not be more than --{1}")]
    Order(&'static str, &'static str),
    /// Zero where nothing would ever happen, or without end.
    #[error("--{0} must be more than zero")]
    Zero(&'static str),
    /// Past what the upstream takes.
    #[error("--{0} must be {1} to {2}")]
    Range(&'static str, u64, u64),
    /// Not a log filter.
    #[error(
        "--log {0:?} is not a filter; give a level (info) or targets with levels \
         (info,shardstream=debug)"
    )]
    Log(String),
    /// Not a URL that can be asked.
    #[error("--{0} must be http://HOST:PORT or https://HOST:PORT, without credentials in it")]
    Url(&'static str),
    /// Not headers.
    #[error("OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE, with commas between several")]
    OtlpHeaders,
    /// A number that could be any shard's.
    #[error("--from at:NUMBER and after:NUMBER name a record of one shard: give the SHARD, too")]
    WhichShard,
    /// A flag that means nothing without another.
    #[error("--{0} has no meaning without --{1}")]
    Without(&'static str, &'static str),
    /// A secret that everybody on the way could read.
    #[error("--token-file is sent by TLS only: say --tls, or use a loopback address")]
    PlaintextToken,
    /// Two flags of which one has no meaning beside the other.
    #[error("--{0} has no meaning with --{1}")]
    Together(&'static str, &'static str),
    /// Not an origin, as browsers write it.
    #[error("--cors-origin {0:?} is no origin: give http://HOST:PORT, https://HOST or *")]
    Origin(String),
    /// Every page that anybody on this machine or network looks at could read everything.
    #[error(
        "--cors-origin * lets every page call: name origins, or ask for tokens with --tokens or \
         --jwt-issuer"
    )]
    AnyOrigin,
    /// TLS on a socket that nobody else sees.
    #[error("--server unix:PATH has no TLS: leave --tls, --tls-ca and --tls-cert out")]
    UnixTls,
}

/// The files of the server's TLS, checked; `None`: there is to be none.
pub(super) fn tls(flags: &TlsFlags) -> Result<Option<ServerTlsFiles>, CheckError> {
    let client_ca = match (&flags.tls_client_ca, flags.tls_client_auth) {
        (Some(ca), auth) => Some((ca.clone(), auth.unwrap_or(ClientAuth::Required))),
        (None, Some(_)) => return Err(CheckError::Without("tls-client-auth", "tls-client-ca")),
        (None, None) => None,
    };
    match (&flags.tls_cert, &flags.tls_key) {
        (Some(certificate), Some(key)) => Ok(Some(ServerTlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca,
            min_version: flags.tls_min_version,
            http1: false,
            admin: flags.admin_tls,
        })),
        (Some(_), None) => Err(CheckError::Without("tls-cert", "tls-key")),
        (None, Some(_)) => Err(CheckError::Without("tls-key", "tls-cert")),
        (None, None) if client_ca.is_some() => {
            Err(CheckError::Without("tls-client-ca", "tls-cert"))
        }
        (None, None) if flags.admin_tls => Err(CheckError::Without("admin-tls", "tls-cert")),
        (None, None) => Ok(None),
    }
}

/// The server's configuration, checked.
pub(super) fn serve(
    server: &ServerFlags,
    tls: Option<ServerTlsFiles>,
    access: &AccessFlags,
    upstream: UpstreamConfig,
    limits: impl FnOnce(Option<Duration>) -> Limits,
) -> Result<ServeConfig, CheckError> {
    let listen = listen(server, tls.as_ref(), access)?;
    let reachable = listen.is_reachable();
    let access = AccessConfig {
        tokens: access.tokens.clone(),
        jwt: jwt(access)?,
        policy: access.policy.clone(),
        reachable,
        audit: audit(access)?,
    };
    listen.admits_flags(tls.is_some(), access.bearers())?;
    let web = web(server, access.bearers())?;
    let tls = tls.map(|tls| ServerTlsFiles { http1: web.is_some(), ..tls });
    let limits = limits(reachable.then_some(PUBLIC_STREAM_AGE));
    coherent(&limits)?;
    Ok(ServeConfig {
        listen,
        tls,
        web,
        reflection: !server.no_reflection,
        access,
        limits,
        upstream,
        log: log(&server.log)?,
        traces: traces(server.otlp_endpoint.as_deref())?,
    })
}

/// What is expected of JWTs, checked; `None`: they are not taken.
fn jwt(flags: &AccessFlags) -> Result<Option<JwtConfig>, CheckError> {
    let given = [
        ("jwt-issuer", flags.jwt_issuer.is_some()),
        ("jwt-audience", flags.jwt_audience.is_some()),
        ("jwt-jwks", flags.jwt_jwks.is_some()),
    ];
    let missing = given.iter().find(|(_, given)| !given);
    let (Some(issuer), Some(audience), Some(jwks)) =
        (&flags.jwt_issuer, &flags.jwt_audience, &flags.jwt_jwks)
    else {
        let said = given.iter().find(|(_, given)| *given).map(|(flag, _)| *flag);
        let said = said.or(flags.jwt_jwks_ca.is_some().then_some("jwt-jwks-ca"));
        let said = said.or(flags.jwt_jwks_optional.then_some("jwt-jwks-optional"));
        return match (said, missing) {
            (Some(said), Some((missing, _))) => Err(CheckError::Without(said, missing)),
            _ => Ok(None),
        };
    };
    let keys = if jwks.contains("://") {
        let url: http::Uri = jwks.parse().map_err(|_| CheckError::JwksUrl)?;
        let host = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if url.scheme_str() != Some("https") || !host {
            return Err(CheckError::JwksUrl);
        }
        JwksSource::Url(url, flags.jwt_jwks_ca.clone())
    } else if flags.jwt_jwks_ca.is_some() {
        return Err(CheckError::Without("jwt-jwks-ca", "jwt-jwks https://..."));
    } else {
        JwksSource::File(jwks.into())
    };
    let expected = Expected {
        issuer: issuer.clone(),
        audience: audience.clone(),
        name_claim: flags.jwt_name_claim.clone(),
    };
    Ok(Some(JwtConfig { expected, keys, optional: flags.jwt_jwks_optional }))
}

/// The upstream's configuration, checked.
pub(super) fn upstream(flags: &UpstreamFlags) -> Result<UpstreamConfig, CheckError> {
    if let Some(url) = &flags.aws_endpoint_url {
        let uri: http::Uri = url.parse().map_err(|_| CheckError::Url("aws-endpoint-url"))?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if !scheme || !host {
            return Err(CheckError::Url("aws-endpoint-url"));
        }
    }
    positive("upstream-connect-timeout", flags.upstream_connect_timeout.0)?;
    positive("upstream-attempt-timeout", flags.upstream_attempt_timeout.0)?;
    if flags.upstream_attempt_timeout.0 > flags.upstream_call_timeout.0 {
        return Err(CheckError::Order("upstream-attempt-timeout", "upstream-call-timeout"));
    }
    Ok(UpstreamConfig {
        endpoint_url: flags.aws_endpoint_url.clone(),
        region: flags.aws_region.clone(),
        fake_credentials: flags.aws_fake_credentials,
        at_timestamp: flags.upstream_at_timestamp.known(),
        child_shards: flags.upstream_child_shards.known(),
        ca_bundle: flags.aws_ca_bundle.clone(),
        sdk_only: flags.upstream_sdk_only,
        connect_timeout: flags.upstream_connect_timeout.0,
        attempt_timeout: flags.upstream_attempt_timeout.0,
        call_timeout: flags.upstream_call_timeout.0,
        attempts: flags.upstream_attempts.0,
    })
}

/// The audit log; `None`: there is to be none.
fn audit(flags: &AccessFlags) -> Result<Option<AuditConfig>, CheckError> {
    match &flags.audit_log {
        None if flags.audit_strict => Err(CheckError::Without("audit-strict", "audit-log")),
        None => Ok(None),
        Some(target) => {
            Ok(Some(AuditConfig { target: target.clone(), strict: flags.audit_strict }))
        }
    }
}

/// The origins of pages that may call by gRPC-Web, checked; `None`: nobody calls by it. `bearers`:
/// callers show tokens or JWTs.
fn web(server: &ServerFlags, bearers: bool) -> Result<Option<Vec<String>>, CheckError> {
    if !server.web && !server.cors_origin.is_empty() {
        return Err(CheckError::Without("cors-origin", "web"));
    }
    let mut origins = vec![];
    for text in &server.cors_origin {
        match text.as_str() {
            "*" if !bearers => return Err(CheckError::AnyOrigin),
            "*" => origins.push(text.clone()),
            text => origins
                .push(origin::parse(text).ok_or_else(|| CheckError::Origin(text.to_owned()))?),
        }
    }
    Ok(server.web.then_some(origins))
}

/// Where the server listens. What systemd passes on is judged when it is taken.
fn listen(
    server: &ServerFlags,
    tls: Option<&ServerTlsFiles>,
    access: &AccessFlags,
) -> Result<ListenConfig, CheckError> {
    let listen = ListenConfig {
        grpc: server.listen.clone(),
        admin: server.admin_listen.0.clone(),
        admin_tls: tls.is_some_and(|tls| tls.admin),
        unix_mode: server.unix_mode,
        plaintext: PlaintextAllowed {
            grpc: server.allow_plaintext,
            admin: server.allow_plaintext_admin,
            tokens: access.allow_plaintext_tokens,
        },
        anonymous: access.allow_anonymous || are_known(tls, access),
    };
    listen.are_distinct()?;
    Ok(listen)
}

/// Whether callers are asked who they are. Where a certificate is only requested, whoever has none
/// is let in as long as no rule is asked.
fn are_known(tls: Option<&ServerTlsFiles>, access: &AccessFlags) -> bool {
    let certificate = tls.and_then(|tls| tls.client_ca.as_ref()).map(|(_, auth)| *auth);
    let certified = match certificate {
        Some(ClientAuth::Required) => true,
        Some(ClientAuth::Requested) => access.policy.is_some(),
        None => false,
    };
    certified || access.tokens.is_some() || access.jwt_issuer.is_some()
}

/// Refuses `address` if others can reach it.
#[cfg(feature = "embedded")]
fn private(flag: &'static str, address: SocketAddr, ways: &'static str) -> Result<(), CheckError> {
    match address.ip().is_loopback() {
        true => Ok(()),
        false => Err(CheckError::Plaintext { flag, address, ways }),
    }
}

/// Refuses two servers on one address; port 0 is a new port each time.
#[cfg(feature = "embedded")]
pub(super) fn distinct(
    one: (&'static str, SocketAddr),
    other: (&'static str, SocketAddr),
) -> Result<(), CheckError> {
    if one.1 == other.1 && one.1.port() != 0 {
        Err(CheckError::SameAddress(one.0, other.0))
    } else {
        Ok(())
    }
}

/// What is logged, checked.
pub(super) fn log(flags: &LogFlags) -> Result<LogConfig, CheckError> {
    let (filter, format) = (flags.log.clone(), flags.log_format);
    match tracing_subscriber::EnvFilter::try_new(&filter) {
        Ok(_) => Ok(LogConfig { filter, format }),
        Err(_) => Err(CheckError::Log(filter)),
    }
}

/// Refuses what says how streams are simulated where none are.
#[cfg(feature = "embedded")]
pub(super) fn unsimulated(flags: &SimulatorFlags) -> Result<(), CheckError> {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let said = [
        ("time-scale", flags.time_scale.is_some()),
        ("seed", flags.seed != 1),
        ("rollover", flags.rollover.0 != hours(4)),
        ("retention", flags.retention.0 != hours(24)),
        ("shards", flags.shards.0 != 4),
        ("split-rate", flags.split_rate.0 != 1_000),
        ("no-stream-limits", flags.no_stream_limits),
        ("stream-bytes", flags.stream_bytes.0 != 1 << 30),
        ("faults", flags.faults.is_some()),
        ("control-listen", flags.control_listen.0.is_some()),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((flag, _)) => Err(CheckError::Without(flag, "simulate")),
        None => Ok(()),
    }
}

/// The simulator's configuration, checked; `scale` is how fast its clock runs unless given.
#[cfg(feature = "embedded")]
pub(super) fn simulator(flags: &SimulatorFlags, scale: u32) -> Result<SimulatorConfig, CheckError> {
    positive("rollover", flags.rollover.0)?;
    positive("retention", flags.retention.0)?;
    let time_scale = flags.time_scale.map_or(scale, |scale| scale.0);
    range("time-scale", u64::from(time_scale), 1, 100_000)?;
    range("shards", u64::from(flags.shards.0), 1, 1_000)?;
    if flags.stream_bytes.0 == 0 {
        return Err(CheckError::Zero("stream-bytes"));
    }
    if let Some(control) = flags.control_listen.0 {
        private("control-listen", control, "for whoever reaches it moves the simulated clock")?;
    }
    Ok(SimulatorConfig {
        faults: flags.faults.clone(),
        control_listen: flags.control_listen.0,
        time_scale,
        seed: flags.seed,
        rollover: flags.rollover.0,
        retention: flags.retention.0,
        shards: flags.shards.0,
        split_rate: flags.split_rate.0,
        limits: !flags.no_stream_limits,
        max_bytes: flags.stream_bytes.0,
    })
}

fn coherent(limits: &Limits) -> Result<(), CheckError> {
    let Limits { reading, sessions, streams, transport } = limits;
    for (flag, rate) in [
        ("shard-calls-per-second", reading.shard_calls_per_second),
        ("describe-calls-per-second", reading.describe_calls_per_second),
        ("list-calls-per-second", reading.list_calls_per_second),
        ("max-cancellations-per-second", transport.cancellations_per_second),
    ] {
        if rate <= 0.0 {
            return Err(CheckError::Zero(flag));
        }
    }
    range("page-records", u64::from(reading.page_records), 1, 1_000)?;
    range("shard-calls-in-flight", reading.shard_calls_in_flight as u64, 1, 2)?;
    for (flag, duration) in [
        ("idle-poll-interval", reading.idle_poll_interval),
        ("discovery-interval", reading.discovery_interval),
        ("backoff-first", reading.backoff.0),
        ("min-lease-duration", sessions.lease_min),
        ("min-heartbeat-interval", streams.heartbeat_min),
        ("keepalive-interval", transport.keepalive_interval),
        ("keepalive-timeout", transport.keepalive_timeout),
        ("first-byte-timeout", transport.first_byte),
        ("request-timeout", transport.request),
        ("idle-connection-timeout", transport.idle),
        ("stall-timeout", transport.stall),
    ] {
        positive(flag, duration)?;
    }
    for (flag, bytes) in [
        ("window-bytes-per-shard", reading.window_bytes_per_shard),
        ("page-bytes", reading.page_bytes),
        ("min-batch-bytes", streams.batch_bytes_min),
        ("answer-bytes", streams.answer_bytes),
        ("max-request-bytes", transport.request_bytes),
        ("max-subscribe-bytes", transport.subscribe_bytes),
        ("max-header-list-bytes", transport.header_list_bytes as usize),
    ] {
        if bytes == 0 {
            return Err(CheckError::Zero(flag));
        }
    }
    ordered(limits)
}

/// Whatever is a range has its smaller end first.
fn ordered(limits: &Limits) -> Result<(), CheckError> {
    let Limits { reading, sessions, streams, transport } = limits;
    let ordered = [
        ("backoff-first", "backoff-longest", reading.backoff.0 <= reading.backoff.1),
        (
            "page-bytes",
            "window-bytes-per-shard",
            reading.page_bytes <= reading.window_bytes_per_shard,
        ),
        (
            "window-bytes-per-shard",
            "window-bytes",
            reading.window_bytes_per_shard <= reading.window_bytes,
        ),
        ("min-lease-duration", "lease-duration", sessions.lease_min <= sessions.lease_default),
        ("lease-duration", "max-lease-duration", sessions.lease_default <= sessions.lease_max),
        (
            "min-heartbeat-interval",
            "heartbeat-interval",
            streams.heartbeat_min <= streams.heartbeat_default,
        ),
        (
            "heartbeat-interval",
            "max-heartbeat-interval",
            streams.heartbeat_default <= streams.heartbeat_max,
        ),
        ("min-batch-bytes", "batch-bytes", streams.batch_bytes_min <= streams.batch_bytes),
        ("batch-bytes", "max-batch-bytes", streams.batch_bytes <= streams.batch_bytes_max),
        ("answer-bytes", "max-batch-bytes", streams.answer_bytes <= streams.batch_bytes_max),
        (
            "max-batch-bytes",
            "max-response-bytes",
            streams.batch_bytes_max <= transport.response_bytes,
        ),
    ];
    match ordered.into_iter().find(|(_, _, holds)| !holds) {
        Some((less, more, _)) => Err(CheckError::Order(less, more)),
        None => Ok(()),
    }
}

fn positive(flag: &'static str, duration: Duration) -> Result<(), CheckError> {
    if duration.is_zero() { Err(CheckError::Zero(flag)) } else { Ok(()) }
}

fn range(flag: &'static str, value: u64, least: u64, most: u64) -> Result<(), CheckError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(CheckError::Range(flag, least, most)) }
}
