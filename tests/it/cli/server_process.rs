//! The program as a process: signals, outputs that nobody reads, files that it may not open, and
//! its end.

use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::stream_service_client::StreamServiceClient;
use shardstream::pb::{GetServerInfoRequest, ListStreamsRequest};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tonic::transport::Channel;

use crate::support::raw::{self, Raw};
use crate::support::scripted_http::{Answer, ScriptedHttp};

/// What must happen does so long before this.
const NEVER: Duration = Duration::from_secs(60);

struct Running {
    child: Child,
    grpc: String,
    admin: String,
}

/// `serve` over `upstream` as `sh` starts it with `before`, on these standard outputs.
async fn serve(
    before: &str,
    upstream: &ScriptedHttp,
    flags: &str,
    stderr: impl Into<Stdio>,
) -> Running {
    let program = env!("CARGO_BIN_EXE_shardstream");
    let flags = format!("--aws-fake-credentials --aws-endpoint-url {} {flags}", upstream.url);
    let line = format!(
        "{before} exec {program} serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 {flags}"
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr);
    let mut child = command.kill_on_drop(true).spawn().expect("it starts");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    tokio::time::timeout(NEVER, output.read_line(&mut line))
        .await
        .expect("in time")
        .expect("readable");
    let address = |name: &str| {
        let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("no {name} in {line:?}"));
        rest.split_whitespace().next().expect("an address").to_owned()
    };
    Running { grpc: address("grpc="), admin: address("admin=http://"), child }
}

impl Running {
    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(
            Command::new("kill").args([name, &id]).status().await.expect("kill runs").success()
        );
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.grpc.clone()).expect("an address");
        tokio::time::timeout(NEVER, endpoint.connect()).await.expect("in time").expect("it listens")
    }

    async fn answers(&self) {
        let mut info = ServerServiceClient::new(self.channel().await);
        info.get_server_info(GetServerInfoRequest {}).await.expect("it answers");
    }

    async fn metrics(&self) -> String {
        let mut admin = TcpStream::connect(&self.admin).await.expect("it listens");
        admin.write_all(b"GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").await.expect("written");
        let mut text = String::new();
        tokio::time::timeout(NEVER, admin.read_to_string(&mut text))
            .await
            .expect("in time")
            .expect("answered");
        text
    }

    async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(NEVER, self.child.wait())
            .await
            .expect("in time")
            .expect("waited for")
            .code()
    }
}

async fn nothing_upstream() -> ScriptedHttp {
    let upstream = ScriptedHttp::start().await;
    upstream.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    upstream
}

#[tokio::test]
async fn only_signals_that_mean_an_end_end_it() {
    let upstream = nothing_upstream().await;
    let mut running = serve("", &upstream, "", Stdio::piped()).await;
    let mut log = BufReader::new(running.child.stderr.take().expect("piped"));
    for name in ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGHUP"] {
        running.signal(&format!("-{}", &name[3..])).await;
        let mut line = String::new();
        tokio::time::timeout(NEVER, log.read_line(&mut line))
            .await
            .expect("in time")
            .expect("readable");
        assert!(line.contains(name), "{line:?}");
        running.answers().await;
    }
    running.signal("-TERM").await;
    assert_eq!(running.ended().await, Some(0));
}

#[tokio::test]
async fn the_second_signal_ends_it_at_once() {
    let upstream = nothing_upstream().await;
    for (first, second, code) in
        [("-TERM", "-TERM", 143), ("-TERM", "-INT", 130), ("-INT", "-INT", 130)]
    {
        let mut running = serve("", &upstream, "--drain-timeout 1h", Stdio::piped()).await;
        let mut log = BufReader::new(running.child.stderr.take().expect("piped")).lines();
        // A request that does not end holds up the drain.
        let address = running.grpc.trim_start_matches("http://").parse().expect("an address");
        let mut client = Raw::begin(address, &[]).await;
        client.send(&raw::head(1, "/shardstream.v1.StreamService/ListStreams", &[])).await;
        assert!(client.lives().await);
        running.signal(first).await;
        while !log.next_line().await.expect("readable").expect("not the end").contains("draining") {
        }
        running.signal(second).await;
        assert_eq!(running.ended().await, Some(code), "{first}, {second}");
    }
}

/// The other end is read by nobody: lines stay in the pipe until it is full.
fn unread(running: &mut Running) -> ChildStderr {
    running.child.stderr.take().expect("piped")
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_no_end() {
    let upstream = nothing_upstream().await;
    for kind in ["full disk", "closed pipe", "full pipe"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        let stderr = if kind == "full disk" { full.into() } else { Stdio::piped() };
        let mut running = serve("", &upstream, "--log trace", stderr).await;
        let mut kept = None;
        match kind {
            "closed pipe" => drop(running.child.stderr.take()),
            "full pipe" => kept = Some(unread(&mut running)),
            _ => {}
        }
        for _ in 0..20 {
            running.answers().await;
        }
        // The thread that writes may be on its way.
        let lost = async {
            while running.metrics().await.contains("shardstream_log_lines_lost_total 0\n") {
                running.answers().await;
            }
        };
        tokio::time::timeout(NEVER, lost)
            .await
            .unwrap_or_else(|_| panic!("no line is lost in a {kind}"));
        running.signal("-TERM").await;
        assert_eq!(running.ended().await, Some(0), "{kind}");
        drop(kept);
    }
}

#[tokio::test]
async fn a_stdout_that_cannot_be_written_is_no_end() {
    let upstream = nothing_upstream().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("bound");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.args(["serve", "--admin-listen", "off", "--aws-fake-credentials"]);
    command.args(["--aws-endpoint-url", &upstream.url, "--listen", &free.to_string()]).env_clear();
    let child =
        command.stdin(Stdio::null()).stdout(full).stderr(Stdio::null()).kill_on_drop(true).spawn();
    let mut running = Running {
        child: child.expect("it starts"),
        grpc: format!("http://{free}"),
        admin: String::new(),
    };
    let listens = async {
        while TcpStream::connect(free).await.is_err() {
            assert_eq!(running.child.try_wait().expect("asked"), None, "it ended");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, listens).await.expect("it listens");
    running.answers().await;
    running.signal("-TERM").await;
    assert_eq!(running.ended().await, Some(0));
}

#[tokio::test]
async fn clients_leave_files_for_the_upstream_and_the_admin_port() {
    let upstream = nothing_upstream().await;
    let mut running = serve("ulimit -n 64;", &upstream, "", Stdio::piped()).await;
    let streams = StreamServiceClient::new(running.channel().await);
    let address = running.grpc.trim_start_matches("http://").parse().expect("an address");
    // One peer alone would not get all of them.
    let crowd = (2..102).map(|peer| async move {
        let mut client = Raw::connect_from([127, 0, 0, peer], address).await;
        client.opening(&[]).await;
        client
    });
    let crowd = join_all(crowd).await;
    let full = async {
        // What is asked anew each time takes a new socket here, and calls to the upstream theirs.
        while !running.metrics().await.contains("shardstream_connections_active 22\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, full).await.expect("as many as there is room for");
    let calls = (0..8).map(|_| {
        let mut streams = streams.clone();
        async move { streams.list_streams(ListStreamsRequest::default()).await.map(drop) }
    });
    let answers = tokio::time::timeout(NEVER, join_all(calls)).await.expect("in time");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    drop(crowd);
    running.signal("-TERM").await;
    assert_eq!(running.ended().await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised() {
    let upstream = nothing_upstream().await;
    let running = serve("ulimit -S -n 50;", &upstream, "", Stdio::null()).await;
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", running.child.id().expect("it runs")));
    let limits = limits.expect("readable");
    let files: Vec<&str> = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("told")
        .split_whitespace()
        .collect();
    assert_eq!(files[3], files[4], "{files:?}");
    assert_ne!(files[3], "50");
}

#[tokio::test]
async fn what_is_logged_follows_the_configuration_file() {
    const CHANGED: &str = "what is logged has changed";
    let upstream = ScriptedHttp::start().await;
    upstream.answer("ListStreams", [Answer::ok(r#"{"Streams": []}"#)]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    let configure = |text: &str| std::fs::write(&file, text).expect("written");
    configure("log = \"info\"\n");
    let flags = format!("--config {}", file.display());
    let mut running = serve("", &upstream, &flags, Stdio::piped()).await;
    let mut log = BufReader::new(running.child.stderr.take().expect("piped")).lines();
    let mut next = async |what: &str| {
        let found = async {
            loop {
                let line = log.next_line().await.expect("readable").expect("a log");
                if line.contains(what) {
                    return line;
                }
                assert!(what != CHANGED || !line.contains("\"DEBUG\""), "{line}");
            }
        };
        tokio::time::timeout(NEVER, found).await.unwrap_or_else(|_| panic!("no {what}"))
    };
    running.answers().await;
    configure("log = \"debug\"\n");
    running.signal("-HUP").await;
    assert!(next(CHANGED).await.contains("\"log\":\"debug\""));
    running.answers().await;
    next("DEBUG").await;
    configure("log = \"no=such=filter\"\n");
    running.signal("-HUP").await;
    next("the log stays as it is").await;
    running.answers().await;
    next("DEBUG").await;
}
