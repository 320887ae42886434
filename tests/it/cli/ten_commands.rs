//! The ten commands of `docs/operations.md`, read out of the document and run as they stand, in an
//! empty folder. Only the ports are others, and the demo writes faster.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::server::in_time;

const DOCUMENT: &str = include_str!("../../../docs/operations.md");

/// What is printed before each command.
const MARK: &str = "---- next";

/// Each command of the section.
fn commands() -> Vec<String> {
    let (_, section) = DOCUMENT.split_once("\n## In ten commands\n").expect("the section");
    let (_, rest) = section.split_once("\n```sh\n").expect("the commands");
    let (script, _) = rest.split_once("\n```\n").expect("their end");
    let mut all: Vec<String> = vec![];
    // The word that ends what a command reads, and whether the next line belongs to the last one.
    let (mut here, mut goes_on) = (None, false);
    for line in script.lines() {
        match all.last_mut() {
            Some(last) if goes_on || here.is_some() => *last += &format!("\n{line}"),
            _ if line.is_empty() => continue,
            _ => all.push(line.to_owned()),
        }
        if here == Some(line) {
            here = None;
        } else if let Some((_, end)) = line.split_once("<<") {
            here = Some(end.trim_matches('\''));
        }
        goes_on = line.ends_with('\\');
    }
    all
}

/// The command as it is run; one in the background is begun, and ready before the next one.
fn run(command: &str) -> String {
    match command.strip_suffix(" &") {
        Some(command) => format!(
            "exec {{out}}< <(exec {command} 2>&1); begun+=($!); read -r line <&$out; echo \"$line\""
        ),
        None => command.to_owned(),
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn the_ten_commands_of_the_document_do_what_it_says() {
    let commands = commands();
    assert_eq!(commands.len(), 10, "{commands:#?}");
    let mut script = "set -e; begun=(); trap 'kill \"${begun[@]}\"; wait' EXIT\n".to_owned();
    for command in &commands {
        script += &format!("echo '{MARK}'\n{}\n", run(command));
    }
    let ports = ["50050", "50051", "8000"].map(|port| (format!(":{port}"), free_port()));
    for (port, free) in &ports {
        assert!(script.contains(port), "{port}");
        script = script.replace(port, &format!(":{free}"));
    }
    let folder = tempfile::tempdir().expect("an empty folder");
    let own = Path::new(env!("CARGO_BIN_EXE_shardstream")).parent().expect("a folder").display();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(folder.path()).env_clear();
    bash.env("PATH", format!("{own}:/usr/local/bin:/usr/bin:/bin"));
    bash.env("SHARDSTREAM_DYNAMODB_PORT", ports[2].1.to_string());
    bash.env("SHARDSTREAM_ADMIN_LISTEN", "127.0.0.1:0").env("SHARDSTREAM_WRITE_RATE", "50");
    let output = bash.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = in_time("the end", output).await.expect("bash runs");
    let [printed, said] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let all = format!("{printed}\n{said}");
    let parts: Vec<&str> = printed.split(MARK).skip(1).collect();
    assert_eq!(parts.len(), 10, "{all}");
    assert!(parts[0].contains(" ready grpc=http://127.0.0.1:"), "{all}");
    assert!(parts[5].contains("ok    GetRecords"), "{all}");
    assert!(!parts[5].contains("fail ") && !parts[5].contains("warn "), "{all}");
    assert!(parts[6].contains(" ready grpc=https://0.0.0.0:"), "{all}");
    assert!(parts[7].contains("shardstream-demo-"), "{all}");
    assert_eq!(parts[8].trim().lines().count(), 3, "{all}");
    assert_eq!(output.status.code(), Some(4), "{all}");
    assert!(said.contains("token:billing may not "), "{all}");
}
