//! What is on this machine: files that may be open, addresses, certificates, callers, and the
//! audit log.

use super::super::access_files::{AccessFileError, AccessReloader};
use super::super::serve::within_descriptors;
use super::super::sockets::Sockets;
use super::Finding;
use crate::audit::writer::try_target;
use crate::clock::Clock;
use crate::config::{
    AccessConfig, AuditConfig, AuditTarget, JwtConfig, ListenConfig, ServeConfig, ServerTlsFiles,
};
use crate::descriptors;
use crate::exit::Exit;
use crate::metrics::Metrics;
use crate::model::Timestamp;
use crate::systemd::PassedSockets;
use crate::tls::server::expiries;

/// When a certificate is said to expire soon, in days.
const SOON: u64 = 14;

const DAY: u64 = 86_400;

/// Looks at all of it.
pub(super) async fn look(config: &ServeConfig) -> Vec<Finding> {
    let mut findings = vec![files(config)];
    findings.extend(listening(config).await);
    findings.push(tls(config).await);
    findings.extend(callers(config).await);
    findings.extend(audit(config).await);
    findings
}

fn files(config: &ServeConfig) -> Finding {
    let Some(limit) = descriptors::raise() else {
        return Finding::warn("open files", "the limit is not known", "set ulimit -n");
    };
    let most = within_descriptors(config.limits.clone()).transport.connections;
    let wanted = config.limits.transport.connections;
    if most < wanted {
        return Finding::warn(
            "open files",
            format!("{limit} may be open, enough for {most} connections of {wanted}"),
            "raise the hard limit (LimitNOFILE=, ulimit -Hn), or lower --max-connections",
        );
    }
    Finding::ok("open files", format!("{limit} may be open, enough for {wanted} connections"))
}

/// Binds each address, and lets go of it.
async fn listening(config: &ServeConfig) -> Vec<Finding> {
    let mut findings = vec![];
    let listen = &config.listen;
    let admin = listen.admin.clone().map(|admin| ("--admin-listen", vec![], Some(admin)));
    let grpc = listen.grpc.iter().map(|one| ("--listen", vec![one.clone()], None));
    for (flag, grpc, admin) in grpc.chain(admin) {
        let named = grpc.first().or(admin.as_ref()).map(ToString::to_string).unwrap_or_default();
        let alone = ListenConfig { grpc, admin, ..listen.clone() };
        if alone.uses_systemd() {
            let what = format!("{flag} systemd: its sockets are there when it starts the server");
            findings.push(Finding::ok("listen", what));
            continue;
        }
        let alone = ServeConfig { listen: alone, ..config.clone() };
        findings.push(match Sockets::bind(&alone, PassedSockets::default()).await {
            Ok(_) => Finding::ok("listen", format!("{flag} {named} is free")),
            Err(error) => {
                let error = anyhow::Error::from(error);
                match super::super::exit_of(&error) {
                    Exit::Usage => {
                        Finding::fail("listen", error.to_string(), "choose another address")
                    }
                    // It may be the server that runs.
                    _ => Finding::warn(
                        "listen",
                        error.to_string(),
                        "nothing, if it is this server that listens there",
                    ),
                }
            }
        });
    }
    findings
}

async fn tls(config: &ServeConfig) -> Finding {
    let Some(files) = &config.tls else {
        return match config.access.reachable {
            true => Finding::warn(
                "tls",
                "none, and others can reach this server: all they read is in the clear",
                "--tls-cert and --tls-key, or a proxy in front that alone reaches it",
            ),
            false => Finding::ok("tls", "none, and only this machine can reach this server"),
        };
    };
    let now = Clock::system().now().wall;
    match expiries(files, now).await {
        Err(error) => Finding::fail("tls", error.to_string(), "put a file there that can be used"),
        Ok((certificate, client_ca)) => {
            let (first, name) = match client_ca {
                Some(ca) if ca < certificate => (ca, "the client CA"),
                Some(_) | None => (certificate, "the certificate"),
            };
            expiry(files, first, name, now)
        }
    }
}

fn expiry(files: &ServerTlsFiles, expires: Timestamp, name: &str, now: Timestamp) -> Finding {
    let days = expires.since(now).as_secs() / DAY;
    let clients = if files.client_ca.is_some() { ", clients show certificates" } else { "" };
    let what = format!("{name} is valid until {expires}, {days} days more{clients}");
    match days < SOON {
        true => Finding::warn("tls", what, "renew it; the server reads the new file by itself"),
        false => Finding::ok("tls", what),
    }
}

async fn callers(config: &ServeConfig) -> Vec<Finding> {
    let certificates = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let AccessConfig { tokens, jwt, policy, reachable, .. } = &config.access;
    let nothing = AccessConfig { reachable: *reachable, ..AccessConfig::default() };
    let usable = async |access: AccessConfig| {
        let load = AccessReloader::load(access, certificates, Clock::system(), Metrics::new());
        load.await.map(|_| ())
    };
    let mut findings = vec![];
    if tokens.is_some() {
        let usable = usable(AccessConfig { tokens: tokens.clone(), ..nothing.clone() }).await;
        findings.push(known("tokens", "the file of tokens can be used", usable, policy.is_some()));
    }
    if let Some(jwt) = jwt {
        let asked = Some(JwtConfig { optional: false, ..jwt.clone() });
        let usable = usable(AccessConfig { jwt: asked, ..nothing.clone() }).await;
        findings.push(match usable {
            Err(error) if jwt.optional => Finding::warn(
                "jwt",
                error.to_string(),
                "nothing, if the keys are there later: until then no JWT is taken",
            ),
            usable => known("jwt", "the keys can be used", usable, policy.is_some()),
        });
    }
    if policy.is_some() {
        let usable = usable(AccessConfig { policy: policy.clone(), ..nothing }).await;
        findings.push(match usable {
            Err(error) => unusable("policy", &error),
            Ok(()) => Finding::ok("policy", "the file of rules can be used"),
        });
    }
    if findings.is_empty() {
        findings.push(match (certificates, reachable) {
            (true, _) => Finding::ok("callers", "all whose certificate the client CA vouches for"),
            (false, false) => Finding::ok("callers", "everybody on this machine"),
            (false, true) => Finding::warn(
                "callers",
                "everybody who can reach this server may read everything",
                "--tokens and --policy, or --tls-client-ca",
            ),
        });
    }
    findings
}

/// Opens the audit log, if there is to be one, and lets go of it.
async fn audit(config: &ServeConfig) -> Option<Finding> {
    let AuditConfig { target, strict } = config.access.audit.as_ref()?;
    Some(match (try_target(target).await, target) {
        (Err(error), _) => {
            let mend = "let the server's user write there, or name another file";
            Finding::fail("audit", error.to_string(), mend)
        }
        (Ok(()), AuditTarget::Stderr) => Finding::ok("audit", "calls are told on stderr"),
        (Ok(()), AuditTarget::File(path)) => {
            let strict =
                if *strict { ", and calls are refused that could not be told" } else { "" };
            Finding::ok("audit", format!("calls are told in {}{strict}", path.display()))
        }
    })
}

/// What is found of that by which callers are known; `rules`: there are some.
fn known(
    check: &'static str,
    well: &str,
    usable: Result<(), AccessFileError>,
    rules: bool,
) -> Finding {
    match usable {
        Err(error) => unusable(check, &error),
        Ok(()) if !rules => Finding::warn(
            check,
            "callers are known, and may do nothing without --policy",
            "write rules that allow them something",
        ),
        Ok(()) => Finding::ok(check, well),
    }
}

fn unusable(check: &'static str, error: &AccessFileError) -> Finding {
    let mend = match check {
        "tokens" => "mend the file; `shardstream token` writes entries",
        "jwt" => "mend the file of keys, or let this machine reach the issuer",
        _ => "mend the file",
    };
    Finding::fail(check, error.to_string(), mend)
}
