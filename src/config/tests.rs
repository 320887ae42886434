use super::*;

fn serve(flags: &[&str]) -> Result<ServeConfig, String> {
    match Invocation::parse(["shardstream", "serve"].iter().chain(flags))
        .map_err(|error| error.to_string())?
    {
        Invocation::Serve(config) => Ok(*config),
        other => panic!("not serve: {other:?}"),
    }
}

#[test]
fn without_flags_the_limits_are_their_defaults() {
    let config = serve(&[]).expect("defaults");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.upstream, UpstreamConfig::default());
    assert_eq!(config.listen.grpc, [Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 50_051)))]);
    assert!(config.reflection);
}

#[test]
fn flags_fill_the_limits() {
    let config =
        serve(&["--window-bytes", "1GiB", "--backoff-longest=1m", "--max-stream-age", "1h"])
            .expect("sane");
    assert_eq!(config.limits.reading.window_bytes, 1 << 30);
    assert_eq!(config.limits.reading.backoff.1, Duration::from_secs(60));
    assert_eq!(config.limits.streams.max_age, Some(Duration::from_secs(3_600)));
}

#[test]
fn a_public_address_wants_a_word_and_ages_streams() {
    let error = serve(&["--listen", "0.0.0.0:50051"]).expect_err("plaintext");
    assert!(error.contains("--allow-plaintext"), "{error}");
    let error = serve(&["--admin-listen", "0.0.0.0:9090"]).expect_err("plaintext");
    assert!(error.contains("--allow-plaintext-admin"), "{error}");
    assert!(error.contains("--admin-listen 0.0.0.0:9090"), "{error}");
    let open = ["--listen=[::]:50051", "--allow-plaintext", "--allow-anonymous"];
    let config = serve(&open).expect("allowed");
    assert_eq!(config.limits.streams.max_age, Some(check::PUBLIC_STREAM_AGE));
    assert_eq!(config.limits.transport.max_age, Some(check::PUBLIC_STREAM_AGE));
    let config = serve(&[&open[..], &["--max-stream-age=off"]].concat()).expect("allowed");
    assert_eq!(config.limits.streams.max_age, None);
    assert_eq!(config.limits.transport.max_age, Some(check::PUBLIC_STREAM_AGE));
    let config = serve(&["--max-connection-age=1h", "--connection-age-grace=5m"]).expect("sane");
    assert_eq!(config.limits.transport.max_age, Some(Duration::from_secs(3_600)));
    assert_eq!(config.limits.transport.age_grace, Duration::from_secs(300));
}

#[test]
fn tls_opens_a_public_address_and_the_admin_port_stays_apart() {
    let tls =
        ["--tls-cert=c.pem", "--tls-key=k.pem", "--listen=0.0.0.0:50051", "--allow-anonymous"];
    let config = serve(&tls).expect("TLS").tls.expect("said");
    assert_eq!((config.client_ca, config.min_version), (None, TlsVersion::Tls12));
    let with = |more: &[&str]| serve(&[&tls[..], more].concat());
    let config = with(&["--tls-client-ca=ca.pem"]).expect("mTLS").tls.expect("said");
    assert_eq!(config.client_ca, Some(("ca.pem".into(), ClientAuth::Required)));
    let error = with(&["--admin-listen=0.0.0.0:9090"]).expect_err("no TLS there");
    assert!(error.contains("--admin-listen 0.0.0.0:9090") && error.contains("-admin"), "{error}");
    assert!(with(&["--admin-listen=0.0.0.0:9090", "--allow-plaintext-admin"]).is_ok());
    let admin = with(&["--admin-listen=0.0.0.0:9090", "--admin-tls"]).expect("TLS there, too");
    assert!(admin.listen.admin_tls && admin.tls.expect("said").admin);
    let error = serve(&["--admin-tls"]).expect_err("no TLS");
    assert!(error.contains("--admin-tls has no meaning without --tls-cert"), "{error}");
    let error = serve(&["--listen=0.0.0.0:1", "--allow-plaintext-admin"]).expect_err("plain");
    assert!(error.contains("--listen 0.0.0.0:1") && error.contains("--tls-cert"), "{error}");
}

#[test]
fn a_public_address_asks_who_calls_or_says_that_everybody_may() {
    let tls = ["--tls-cert=c.pem", "--tls-key=k.pem", "--listen=0.0.0.0:50051"];
    let with = |more: &[&str]| serve(&[&tls[..], more].concat());
    let certified = ["--tls-client-ca=ca.pem", "--tls-client-auth=requested"];
    for more in [&[][..], &["--policy=p.toml"], &certified] {
        let error = with(more).expect_err("nobody is asked");
        assert!(
            error.contains("nobody is asked who they are") && error.contains("0.0.0.0"),
            "{error}"
        );
        assert!(error.contains("--allow-anonymous"), "{error}");
    }
    let jwt = ["--jwt-issuer=https://id.test", "--jwt-audience=a", "--jwt-jwks=keys.json"];
    let judged = [&certified[..], &["--policy=p.toml"]].concat();
    for more in
        [&["--allow-anonymous"][..], &["--tokens=t.toml"], &jwt, &["--tls-client-ca=c"], &judged]
    {
        assert!(with(more).is_ok(), "{more:?}");
    }
    let plain = ["--listen=0.0.0.0:1", "--allow-plaintext"];
    assert!(serve(&plain).expect_err("open").contains("--allow-anonymous"));
    for own in ["--listen=127.0.0.1:1", "--listen=unix:a", "--listen=systemd"] {
        assert!(serve(&[own]).is_ok(), "{own}: of this machine, or not known yet");
    }
}

#[test]
fn a_client_connects_by_tls_where_anything_says_so() {
    let flags = |more: &[&str]| {
        let line = ["shardstream", "streams"].into_iter().chain(more.iter().copied());
        match Invocation::parse(line).map_err(|error| error.to_string())? {
            Invocation::Client(ClientCommand::Streams(args)) => Ok(args.client),
            other => Err(format!("{other:?}")),
        }
    };
    let plain = flags(&["--server=host:1"]).expect("plain");
    assert_eq!((plain.tls(), plain.server().to_string()), (None, "http://host:1".to_owned()));
    for tls in [&["--tls"][..], &["--tls-ca=ca.pem"], &["--tls-cert=c.pem", "--tls-key=k.pem"]] {
        let said = flags(&[&["--server=host:1"], tls].concat()).expect("TLS");
        assert!(said.tls().is_some() && said.server().to_string() == "https://host:1", "{tls:?}");
    }
    assert!(flags(&["--server=https://host:1"]).expect("TLS").tls().is_some());
    for (bad, told) in [
        (&["--tls-cert=c.pem"][..], "--tls-cert has no meaning without --tls-key"),
        (&["--tls-key=c.pem"], "--tls-key has no meaning without --tls-cert"),
        (&["--server=unix:s", "--tls"], "--server unix:PATH has no TLS"),
        (&["--server=10.0.0.1:1", "--token-file=t"], "--token-file is sent by TLS only"),
    ] {
        assert!(flags(bad).expect_err(told).contains(told), "{bad:?}");
    }
    for near in ["localhost:1", "127.0.0.1:1", "[::1]:1", "https://10.0.0.1:1", "unix:s"] {
        assert!(flags(&["--server", near, "--token-file=t"]).is_ok(), "{near}");
    }
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    for (flags, named) in [
        (
            &["--lease-duration=5s"][..],
            "--min-lease-duration must not be more than --lease-duration",
        ),
        (&["--batch-bytes=4MiB"], "--batch-bytes must not be more than --max-batch-bytes"),
        (
            &["--max-batch-bytes=4MiB"],
            "--max-batch-bytes must not be more than --max-response-bytes",
        ),
        (&["--page-bytes=64MiB"], "--page-bytes must not be more than --window-bytes-per-shard"),
        (
            &["--upstream-attempt-timeout=1h"],
            "--upstream-attempt-timeout must not be more than --upstream-call-timeout",
        ),
        (&["--shard-calls-per-second=0"], "--shard-calls-per-second must be more than zero"),
        (&["--idle-poll-interval=0"], "--idle-poll-interval must be more than zero"),
        (&["--page-records=1001"], "--page-records must be 1 to 1000"),
        (&["--shard-calls-in-flight=3"], "--shard-calls-in-flight must be 1 to 2"),
        (&["--admin-listen=127.0.0.1:50051"], "--listen and --admin-listen are the same address"),
        (&["--tls-cert=c.pem"], "--tls-cert has no meaning without --tls-key"),
        (&["--tls-key=k.pem"], "--tls-key has no meaning without --tls-cert"),
        (&["--tls-client-ca=ca.pem"], "--tls-client-ca has no meaning without --tls-cert"),
        (
            &["--tls-cert=c.pem", "--tls-key=k.pem", "--tls-client-auth=requested"],
            "--tls-client-auth has no meaning without --tls-client-ca",
        ),
        (&["--log=a=b=c"], "--log \"a=b=c\" is not a filter"),
        (&["--aws-endpoint-url=http://id:secret@localhost:1"], "without credentials"),
    ] {
        let error = serve(flags).expect_err(named);
        assert!(error.contains(named), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn switches_can_be_taken_back() {
    assert!(!serve(&["--no-reflection"]).expect("sane").reflection);
    assert!(serve(&["--no-reflection=false"]).expect("sane").reflection);
    assert_eq!(serve(&["--admin-listen", "off"]).expect("sane").listen.admin, None);
}

#[test]
fn a_server_listens_on_several_addresses() {
    let listens = |flags: &[&str]| {
        let listens = |config: ServeConfig| config.listen.grpc;
        let text = |listen: &Listen| listen.to_string();
        serve(flags).map(|config| listens(config).iter().map(text).collect::<Vec<_>>().join(" "))
    };
    let several =
        ["--listen=127.0.0.1:0", "--listen", "127.0.0.1:0,unix:/run/s", "--listen=systemd"];
    assert_eq!(listens(&several).expect("sane"), "127.0.0.1:0 127.0.0.1:0 unix:/run/s systemd");
    for (bad, told) in [
        (&["--listen=unix:"][..], "a Unix socket is unix:PATH"),
        (&["--listen=nowhere"], "unix:PATH or systemd"),
        (&["--listen=unix:a,unix:a"], "--listen and --listen are the same address"),
        (&["--listen=127.0.0.1:9090"], "--listen and --admin-listen are the same address"),
        (&["--listen=unix:a", "--listen=0.0.0.0:1"], "--listen 0.0.0.0:1 can be reached by others"),
        (&["--admin-listen=unix:a"], "IP:PORT, such as 127.0.0.1:9090, systemd or off"),
        (&["--unix-mode=999"], "octal digits"),
        (&["--unix-mode=1777"], "octal digits"),
    ] {
        let error = listens(bad).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
    let config = serve(&["--listen=unix:a", "--unix-mode=0600"]).expect("sane");
    assert_eq!((config.listen.unix_mode, config.access.reachable), (0o600, false));
    // systemd may listen anywhere.
    let config = serve(&["--listen=systemd", "--admin-listen=systemd"]).expect("sane");
    assert!(config.access.reachable && config.listen.uses_systemd());
    assert_eq!(config.limits.streams.max_age, Some(check::PUBLIC_STREAM_AGE));
}

#[test]
fn pages_call_by_web_alone_and_every_page_by_tokens_alone() {
    assert_eq!(serve(&[]).expect("sane").web, None);
    let web =
        serve(&["--web", "--cors-origin=https://a.b:443,http://localhost:3000"]).expect("sane");
    let origins = vec!["https://a.b".to_owned(), "http://localhost:3000".to_owned()];
    assert_eq!(web.web, Some(origins));
    let tls = serve(&["--web", "--tls-cert=c", "--tls-key=k"]).expect("sane");
    assert!(tls.web.is_some_and(|origins| origins.is_empty()) && tls.tls.expect("TLS").http1);
    assert!(serve(&["--web", "--cors-origin=*", "--tokens=t"]).is_ok());
    for (bad, told) in [
        (&["--cors-origin=https://a.b"][..], "--cors-origin has no meaning without --web"),
        (&["--web", "--cors-origin=*"], "name origins, or ask for tokens"),
        (&["--web", "--cors-origin=a.b"], "\"a.b\" is no origin"),
        (&["--web", "--cors-origin=https://a.b/"], "is no origin"),
        (&["--web", "--cors-origin=https://A.b"], "is no origin"),
        (&["--web", "--cors-origin=https://*.b"], "is no origin"),
        (&["--web", "--cors-origin=null"], "is no origin"),
    ] {
        let error = serve(bad).expect_err(told);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn client_commands_parse() {
    let parsed = Invocation::parse([
        "shardstream",
        "tail",
        "Orders",
        "-n",
        "10",
        "--from",
        "10m",
        "--gaps",
        "continue",
    ]);
    let Ok(Invocation::Client(ClientCommand::Tail(tail))) = parsed else { panic!("{parsed:?}") };
    assert_eq!(tail.count.map(std::num::NonZero::get), Some(10));
    assert_eq!(tail.from, StartPosition::Time(When::Ago(Duration::from_secs(600))));
    assert_eq!(tail.gaps, GapPolicy::Continue);
    assert_eq!(tail.client.server.to_string(), "http://127.0.0.1:50051");
    let error =
        Invocation::parse(["shardstream", "tree", "arn:aws:dynamodb:us-east-1:1:table/Orders"]);
    assert!(error.expect_err("a table's ARN").to_string().contains("ends in /stream/LABEL"));
}

#[cfg(feature = "embedded")]
#[test]
fn dev_serves_over_its_own_upstream() {
    let Ok(Invocation::Dev(config)) =
        Invocation::parse(["shardstream", "dev", "--write-rate=0", "--quiet"])
    else {
        panic!("not dev")
    };
    assert_eq!((config.dynamodb_port, config.write_rate, config.quiet), (8_000, 0, true));
    assert_eq!(config.serve.upstream, UpstreamConfig::default());
    let error = Invocation::parse(["shardstream", "dev", "--dynamodb-port=9090"])
        .expect_err("the admin port's");
    assert_eq!(error.to_string(), "--admin-listen and --dynamodb-port are the same address");
    assert!(Invocation::parse(["shardstream", "dev", "--aws-region=eu-west-1"]).is_err());
}

#[cfg(feature = "embedded")]
#[test]
fn a_clock_that_is_to_run_ahead_is_no_warning() {
    let tells = |flags: &[&str]| {
        let parsed = Invocation::parse(["shardstream", "dev"].iter().chain(flags));
        let Ok(Invocation::Dev(config)) = parsed else { panic!("{flags:?}") };
        !config.serve.log.filter.contains("clocks=error")
    };
    assert!(tells(&[]) && tells(&["--simulate", "--time-scale=1"]));
    assert!(!tells(&["--simulate"]) && !tells(&["--simulate", "--log=debug"]));
}
