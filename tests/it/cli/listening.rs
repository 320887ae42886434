//! Where the program listens: several addresses, Unix sockets, sockets that systemd passes on.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::pki::text;
use crate::support::scripted_http::{Answer, ScriptedHttp};
use crate::support::server::{in_time, metrics};

pub(super) const STREAM: &str =
    "arn:aws:dynamodb:us-east-1:1:table/orders/stream/2026-01-01T00:00:00.000";

/// A server that was started, or said why not.
pub(super) struct Started {
    child: Child,
    /// Its first line; empty where it ended.
    pub(super) ready: String,
}

pub(super) async fn upstream() -> ScriptedHttp {
    let upstream = ScriptedHttp::start().await;
    let streams = format!(
        r#"{{"Streams": [{{"StreamArn": "{STREAM}", "TableName": "orders", "StreamLabel": "l"}}]}}"#
    );
    upstream.answer("ListStreams", [Answer::ok(streams)]);
    let stream = format!(
        r#"{{"StreamDescription": {{"StreamArn": "{STREAM}", "TableName": "orders",
            "StreamLabel": "2026-01-01T00:00:00.000", "StreamStatus": "ENABLED", "StreamViewType": "NEW_IMAGE",
            "Shards": []}}}}"#
    );
    upstream.answer("DescribeStream", [Answer::ok(stream)]);
    upstream
}

/// `serve` with these arguments.
async fn serve(upstream: &ScriptedHttp, arguments: &[&str]) -> Started {
    serve_with(upstream, arguments, &[]).await
}

/// The same, in an environment of nothing but `variables`.
pub(super) async fn serve_with(
    upstream: &ScriptedHttp,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Started {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.arg("serve").args(arguments).args(aws(upstream)).env_clear();
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    begun(command.stderr(Stdio::piped())).await
}

fn aws(upstream: &ScriptedHttp) -> [&str; 3] {
    ["--aws-fake-credentials", "--aws-endpoint-url", &upstream.url]
}

async fn begun(command: &mut Command) -> Started {
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let mut ready = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    in_time("a line", output.read_line(&mut ready)).await.expect("readable");
    Started { child, ready }
}

impl Started {
    pub(super) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let killed = Command::new("kill").args([name, &id]).status().await;
        assert!(killed.expect("kill runs").success());
    }

    /// Its exit code and what it said to people.
    pub(super) async fn ended(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            in_time("its end", stderr.read_to_string(&mut said)).await.expect("readable");
        }
        let status = in_time("its end", self.child.wait()).await.expect("waited for");
        (status.code(), said)
    }
}

/// `shardstream streams` against this server.
async fn streams(server: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.args(["streams", "--output", "json", "--server", server]).args(more).env_clear();
    in_time("its end", command.stdin(Stdio::null()).output()).await.expect("it runs")
}

#[track_caller]
fn lists(output: &Output) {
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains(STREAM), "{output:?}");
}

/// A folder, and the flag for a socket in it.
fn socket() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let address = format!("unix:{}", text(&path));
    (folder, path, address)
}

fn our_uid(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").uid()
}

#[tokio::test]
async fn several_addresses_are_served_at_once() {
    let upstream = upstream().await;
    let (_folder, path, unix) = socket();
    let also = format!("127.0.0.1:0,{unix}");
    let flags = ["--listen", "127.0.0.1:0", "--listen", &also, "--admin-listen=off"];
    let mut server = serve(&upstream, &flags).await;
    let addresses: Vec<&str> =
        server.ready.split_whitespace().filter_map(|word| word.strip_prefix("grpc=")).collect();
    assert_eq!((addresses.len(), addresses[2]), (3, unix.as_str()), "{}", server.ready);
    assert_ne!(addresses[0], addresses[1]);
    for address in addresses {
        lists(&streams(address, &[]).await);
    }
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    server.signal("-TERM").await;
    assert_eq!(server.ended().await.0, Some(0));
    assert!(!path.exists(), "the socket is removed at the end");
}

#[tokio::test]
async fn a_socket_of_a_killed_server_is_replaced_and_one_in_use_is_not() {
    let upstream = upstream().await;
    let (_folder, path, unix) = socket();
    let flags = ["--listen", &unix, "--admin-listen=off", "--unix-mode=600"];
    let mut killed = serve(&upstream, &flags).await;
    killed.signal("-KILL").await;
    killed.ended().await;
    assert!(path.exists(), "kill -9 leaves it");
    let mut server = serve(&upstream, &flags).await;
    lists(&streams(&unix, &[]).await);
    let (code, said) = serve(&upstream, &flags).await.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("--listen {unix}: another process listens on it")), "{said}");
    lists(&streams(&unix, &[]).await);
    // A socket that somebody else has put there since is left alone.
    std::fs::remove_file(&path).expect("removed");
    let _other = UnixListener::bind(&path).expect("bound");
    server.signal("-TERM").await;
    assert_eq!(server.ended().await.0, Some(0));
    assert!(path.exists());
}

#[tokio::test]
async fn a_socket_on_which_nobody_is_accepted_is_in_use() {
    let upstream = upstream().await;
    let (_folder, path, unix) = socket();
    let busy = tokio::net::UnixSocket::new_stream().expect("a socket");
    busy.bind(&path).expect("bound");
    let _busy = busy.listen(1).expect("listens");
    // Its queue is full when the next one would have to wait.
    let mut waiting = vec![];
    while let Ok(next) = tokio::net::UnixStream::connect(&path).await {
        waiting.push(next);
    }
    let mut refused = serve(&upstream, &["--listen", &unix, "--admin-listen=off"]).await;
    let (code, said) = refused.ended().await;
    assert!(code == Some(1) && said.contains("another process listens on it"), "{said}");
}

#[tokio::test]
async fn a_path_that_is_no_socket_is_told_in_one_line() {
    let upstream = upstream().await;
    let (folder, path, _) = socket();
    std::fs::write(&path, "precious").expect("written");
    let long = folder.path().join("x".repeat(120));
    for (path, told) in [
        (path.clone(), "there is a file that is no socket"),
        (folder.path().to_owned(), "there is a file that is no socket"),
        (folder.path().join("nowhere/s"), "No such file or directory"),
        (path.join("s"), "Not a directory"),
        (long, "at most 107 bytes"),
    ] {
        let unix = format!("unix:{}", text(&path));
        let mut refused = serve(&upstream, &["--listen", &unix, "--admin-listen=off"]).await;
        let (code, said) = refused.ended().await;
        assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(&format!("--listen {unix}: ")) && said.contains(told), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "precious");
    let output = streams(&format!("unix:{}", text(&path)), &[]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no server answers at unix:/"), "{said}");
}

#[tokio::test]
async fn the_user_behind_a_unix_socket_is_a_caller() {
    let upstream = upstream().await;
    let (folder, path, unix) = socket();
    let policy = folder.path().join("policy.toml");
    let rule = |uid: u32| {
        let rule = format!(
            "[[rule]]\nprincipals = [\"uid:{uid}\"]\nactions = [\"list\", \"inspect\"]\nstreams = [\"*\"]\n"
        );
        std::fs::write(folder.path().join("policy.toml"), rule).expect("written");
    };
    let uid = our_uid(folder.path());
    let listen = format!("{unix},127.0.0.1:0");
    let log = folder.path().join("audit.log");
    let (policy, log_file) = (text(&policy), text(&log));
    let files = ["--policy", &policy, "--audit-log", &log_file];
    let flags = [&["--listen", &listen, "--admin-listen=off"][..], &files].concat();
    for (allowed, seen) in [(uid, true), (uid + 1, false)] {
        rule(allowed);
        let mut server = serve(&upstream, &flags).await;
        let output = streams(&unix, &[]).await;
        let code = if seen { 0 } else { 4 };
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains(STREAM), seen, "{output:?}");
        let tcp = server.ready.split("grpc=").find(|word| word.starts_with("http")).expect("two");
        let output = streams(tcp.trim(), &[]).await;
        assert!(!String::from_utf8_lossy(&output.stdout).contains(STREAM), "{output:?}");
        server.signal("-TERM").await;
        server.ended().await;
        assert!(!path.exists());
    }
    let told = std::fs::read_to_string(&log).expect("an audit log");
    assert!(told.contains(&format!(r#""principal":"uid:{uid}","kind":"uid""#)), "{told}");
}

/// `serve`, as systemd starts it with these sockets, named so.
async fn activated(
    upstream: &ScriptedHttp,
    names: &str,
    sockets: [OwnedFd; 2],
    arguments: &str,
) -> Started {
    let [aws, endpoint, url] = aws(upstream);
    let line = format!(
        "exec 3<&0 4<&2; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names} \
         exec {} serve {arguments} {aws} {endpoint} {url} 2>&1",
        env!("CARGO_BIN_EXE_shardstream")
    );
    let [first, second] = sockets;
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env_clear().stdin(first).stderr(second);
    begun(&mut command).await
}

#[tokio::test]
async fn sockets_of_systemds_are_taken_by_their_names() {
    let upstream = upstream().await;
    let (_folder, path, unix) = socket();
    let tcp = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (grpc, admin) = (UnixListener::bind(&path).expect("bound"), tcp());
    let admin_at = admin.local_addr().expect("bound");
    let flags = "--listen systemd --admin-listen systemd --log off";
    let sockets = [grpc.into(), admin.into()];
    let mut server = activated(&upstream, "grpc:admin", sockets, flags).await;
    let told = format!("ready grpc={unix} admin=http://{admin_at}\n");
    assert!(server.ready.ends_with(&told), "{}", server.ready);
    lists(&streams(&unix, &[]).await);
    let gone = async {
        while !metrics(admin_at).await.contains("shardstream_connections_active 0\n") {
            tokio::task::yield_now().await;
        }
    };
    in_time("the end of its connection", gone).await;
    server.signal("-TERM").await;
    assert_eq!(server.ended().await.0, Some(0));
    assert!(path.exists(), "systemd goes on listening");

    let two = || [tcp().into(), tcp().into()];
    let alone = "--listen systemd --admin-listen off --log off";
    let server = activated(&upstream, "one:two", two(), alone).await;
    assert_eq!(server.ready.matches("grpc=http://127.0.0.1:").count(), 2, "{}", server.ready);
    // One that nothing takes is told, not dropped.
    let one = "--listen systemd --admin-listen off --log warn";
    let server = activated(&upstream, "grpc:admin", two(), one).await;
    assert!(server.ready.contains("--admin-listen does not say systemd"), "{}", server.ready);
    let public = || TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).expect("a free port");
    let open = "--listen systemd --admin-listen off --log off --allow-plaintext";
    for (names, sockets, flags, told) in [
        ("grpc:x", [tcp().into(), public().into()], open, "nobody is asked who they are"),
        ("admin:admin", two(), alone, "--listen systemd: systemd has passed no"),
        ("grpc:x", two(), "--listen systemd --admin-listen systemd", "--admin-listen systemd: sys"),
        (
            "admin:admin",
            two(),
            "--listen 127.0.0.1:0 --admin-listen systemd",
            "systemd has passed 2 sockets of the name admin",
        ),
        ("grpc:x", [tcp().into(), public().into()], alone, "can be reached by others"),
        (
            "grpc:x",
            [tcp().into(), no_socket()],
            alone,
            "the socket \"x\" is of no use: fd 4 is not a socket",
        ),
    ] {
        let mut refused = activated(&upstream, names, sockets, flags).await;
        assert!(refused.ready.contains(told), "{} for {told}", refused.ready);
        assert_eq!(refused.ended().await.0, Some(2), "{told}");
    }
}

/// Something that is no socket.
fn no_socket() -> OwnedFd {
    std::fs::File::open("/dev/null").expect("there").into()
}
