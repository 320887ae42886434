//! TLS as people meet it: the server as a process, the client commands against it, and what each
//! says when it does not work.

use std::process::{Output, Stdio};

use rcgen::SanType;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::pushing;
use crate::support::pki::{Ca, Issued, Pems, expired, text};
use crate::support::program::Program;
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::server::in_time;

/// A server, and the AWS below it.
struct Serving {
    program: Program,
    _upstream: ScriptedHttp,
}

/// `serve` by TLS over an AWS that has no streams; `Err`: its exit code and what it said.
async fn serve(pems: &Pems, more: &[&str]) -> Result<Serving, (Option<i32>, String)> {
    let upstream = ScriptedHttp::start().await;
    upstream.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    let (certificate, key) = (text(&pems.path("server.pem")), text(&pems.path("server.key")));
    let aws = ["--aws-fake-credentials", "--aws-endpoint-url", &upstream.url];
    let tls = ["--tls-cert", &certificate, "--tls-key", &key, "--log", "trace"];
    let program = Program::serve_or_exit(&[&aws[..], &tls, more].concat(), &[]).await?;
    Ok(Serving { program, _upstream: upstream })
}

/// `shardstream streams` with these arguments, and these variables alone.
async fn streams(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.arg("streams").args(arguments).env_clear().envs(variables.iter().copied());
    in_time("the end", command.stdin(Stdio::null()).output()).await.expect("it runs")
}

/// How it ended, and what it said to people.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A server whose CA clients can name, and nothing else of theirs.
fn pki() -> (Ca, Pems) {
    let ca = Ca::new("server CA");
    let pems = Pems::of_server(&ca, &ca.server(|_| {}));
    (ca, pems)
}

#[tokio::test]
async fn the_commands_connect_by_tls() {
    let (_, pems) = pki();
    let clients = Ca::new("client CA");
    let client_ca = text(&pems.write("client-ca.pem", &clients.pem()));
    let server = serve(&pems, &["--tls-client-ca", &client_ca]).await.expect("it serves");
    assert!(server.program.grpc.starts_with("https://127.0.0.1:"), "{}", server.program.grpc);
    let (certificate, key) = pems.identity("client", &clients.client(|_| {}));
    let [ca, certificate, key] = [pems.path("ca.pem"), certificate, key].map(|path| text(&path));
    let files = ["--tls-ca", &ca, "--tls-cert", &certificate, "--tls-key", &key];
    let bare = server.program.grpc.trim_start_matches("https://");
    for url in [server.program.grpc.as_str(), bare] {
        let output = streams(&[&["--server", url][..], &files].concat(), &[]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let variables = [
        ("SHARDSTREAM_SERVER", bare),
        ("SHARDSTREAM_TLS", "true"),
        ("SHARDSTREAM_TLS_CA", &ca),
        ("SHARDSTREAM_TLS_CERT", &certificate),
        ("SHARDSTREAM_TLS_KEY", &key),
    ];
    let output = streams(&[], &variables).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let (server_ca, pems) = pki();
    let clients = Ca::new("client CA");
    let client_ca = text(&pems.write("client-ca.pem", &clients.pem()));
    let mutual = serve(&pems, &["--tls-client-ca", &client_ca]).await.expect("it serves");
    let ca = text(&pems.path("ca.pem"));
    let named = Issued::clone(&server_ca.server(|params| {
        params.subject_alt_names =
            vec![SanType::DnsName("shardstream.example".try_into().expect("ASCII"))];
    }));
    let other = Pems::of_server(&server_ca, &named);
    let other = (serve(&other, &[]).await.expect("it serves"), other);
    let wrong = Ca::new("wrong CA");
    let wrong_ca = text(&pems.write("wrong.pem", &wrong.pem()));
    let (shown, key) = pems.identity("wrong-client", &wrong.client(|_| {}));
    let (shown, key) = (text(&shown), text(&key));
    let plain = mutual.program.grpc.replace("https", "http");
    let (mutual_url, other_url) = (mutual.program.grpc.as_str(), other.0.program.grpc.as_str());
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--server", mutual_url, "--tls-ca", &ca], "wants a certificate", "--tls-cert FILE"),
        (
            &["--server", mutual_url, "--tls-ca", &ca, "--tls-cert", &shown, "--tls-key", &key],
            "does not accept this client's certificate",
            "--tls-cert FILE",
        ),
        (
            &["--server", mutual_url, "--tls-ca", &wrong_ca],
            "not signed by anybody who is trusted",
            "--tls-ca FILE",
        ),
        (
            &["--server", other_url, "--tls-ca", &ca],
            "is not for 127.0.0.1, but for",
            "say one of these names",
        ),
        (&["--server", &plain], "takes no connection in plain text", "--tls"),
    ];
    for (arguments, what, next) in cases {
        let (code, said) = told(&streams(arguments, &[]).await);
        assert_eq!(code, Some(5), "{said}");
        assert!(said.contains(what) && said.contains(next), "{arguments:?}: {said}");
    }
    let scripted = pushing([]);
    let url = scripted.url().replace("http", "https");
    let (code, said) = told(&streams(&["--server", &url, "--tls-ca", &ca], &[]).await);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("speaks no TLS") && said.contains("http://"), "{said}");
}

#[tokio::test]
async fn files_of_a_client_that_cannot_be_used_are_named() {
    let (ca, pems) = pki();
    let (certificate, _) = pems.identity("client", &ca.client(|_| {}));
    let (old, old_key) = pems.identity("old", &ca.client(expired));
    let (nowhere, empty) = (text(&pems.path("nowhere")), text(&pems.write("empty", " \n")));
    let [certificate, old, old_key, server_key] =
        [certificate, old, old_key, pems.path("server.key")].map(|path| text(&path));
    let cases: [(&[&str], &str); 6] = [
        (&["--tls-ca", &nowhere], "cannot be read"),
        (&["--tls-ca", &server_key], "no certificate in it"),
        (&["--tls-cert", &certificate, "--tls-key", &server_key], "does not belong to"),
        (&["--tls-cert", &old, "--tls-key", &old_key], "expired at 2021-01-01"),
        (&["--token-file", &nowhere], "cannot be read"),
        (&["--token-file", &empty], "holds no token"),
    ];
    for (arguments, what) in cases {
        let all = [&["--server", "127.0.0.1:1"], arguments].concat();
        let (code, said) = told(&streams(&all, &[]).await);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(what) && said.contains(arguments[0]), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}

#[tokio::test]
async fn the_token_is_sent_with_each_call_and_never_shown() {
    let (_, pems) = pki();
    let file = text(&pems.write("token", "sst_secret-of-a-test\n"));
    let server = pushing([]);
    let output = streams(&["--server", &server.url(), "--token-file", &file], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = server.script.authorizations.lock().clone();
    assert_eq!(said, [Some("Bearer sst_secret-of-a-test".to_owned())]);
    let everything = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&everything).contains("secret"));
    let url = "http://shardstream.example:50051";
    let (code, said) = told(&streams(&["--server", url, "--token-file", &file], &[]).await);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("by TLS only"), "{said}");
}

/// The middle of a key, line breaks aside: whoever shows a key shows it.
fn secret(issued: &Issued) -> String {
    issued.key.lines().nth(1).expect("a line of base64").to_owned()
}

#[tokio::test]
async fn files_of_a_server_that_cannot_be_used_end_it_and_are_named() {
    let ca = Ca::new("CA");
    let (good, other, old) = (ca.server(|_| {}), ca.server(|_| {}), ca.server(expired));
    let later = ca.server(crate::support::pki::not_yet_valid);
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let half = &good.certificate[..good.certificate.len() / 2];
    let cases = [
        ("--tls-cert", "", &good.key[..], "has no certificate in it"),
        ("--tls-cert", half, &good.key, "is not whole PEM"),
        ("--tls-cert", &good.key, &good.key, ", but a private key"),
        ("--tls-key", &good.certificate, &good.certificate, ", but a certificate"),
        ("--tls-key", &good.certificate, "", "has no private key in it"),
        ("--tls-key", &good.certificate, &encrypted, "is encrypted"),
        ("--tls-key", &good.certificate, &other.key, "does not belong to the first certificate"),
        ("--tls-cert", &old.certificate, &old.key, "expired at 2021-01-01T00:00:00Z"),
        ("--tls-cert", &later.certificate, &later.key, "is not valid before 2119-01-01T00:00:00Z"),
    ];
    let pems = Pems::new();
    for (flag, certificate, key, what) in cases {
        pems.write("server.pem", certificate);
        pems.write("server.key", key);
        let Err((code, said)) = serve(&pems, &[]).await else { panic!("{what}: it serves") };
        let error = said.lines().last().expect("an error");
        assert_eq!(code, Some(2), "{said}");
        let file = if flag == "--tls-cert" { "server.pem" } else { "server.key" };
        assert!(error.contains(flag) && error.contains(file) && error.contains(what), "{error}");
        assert!(![&good, &other, &old].iter().any(|one| said.contains(&secret(one))), "{said}");
    }
    std::fs::remove_file(pems.path("server.key")).expect("removed");
    let Err((code, said)) = serve(&pems, &[]).await else { panic!("it serves without a key") };
    assert!(
        code == Some(2) && said.contains("--tls-key") && said.contains("cannot be read"),
        "{said}"
    );
    pems.write("server.key", &good.key);
    pems.write("server.pem", &good.certificate);
    let folder = text(&pems.path("."));
    let Err((code, said)) = serve(&pems, &["--tls-client-ca", &folder]).await else {
        panic!("it serves with a folder of CAs")
    };
    assert!(
        code == Some(2) && said.contains("--tls-client-ca") && said.contains("is not a file"),
        "{said}"
    );
}

#[tokio::test]
async fn sighup_reads_the_files_again_and_no_key_is_ever_logged() {
    let (ca, pems) = pki();
    let first = std::fs::read_to_string(pems.path("server.key")).expect("read");
    let mut server = serve(&pems, &[]).await.expect("it serves");
    let mut log = BufReader::new(server.program.child.stderr.take().expect("piped")).lines();
    let next = ca.server(|_| {});
    pems.identity("server", &next);
    let id = server.program.child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().await.expect("runs").success());
    let mut said = String::new();
    in_time("the reload", async {
        while !said.contains("were read again") {
            said.push_str(&log.next_line().await.expect("readable").expect("not the end"));
        }
    })
    .await;
    let trust = text(&pems.path("ca.pem"));
    let output = streams(&["--server", &server.program.grpc, "--tls-ca", &trust], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.expect("runs").success());
    in_time("the end", async {
        while let Some(line) = log.next_line().await.expect("readable") {
            said.push_str(&line);
        }
    })
    .await;
    assert_eq!(
        in_time("the end", server.program.child.wait()).await.expect("waited").code(),
        Some(0)
    );
    assert!(said.contains("SIGHUP"), "{said}");
    let first = Issued { certificate: String::new(), key: first };
    assert!(![secret(&first), secret(&next)].iter().any(|key| said.contains(key)), "{said}");
}
