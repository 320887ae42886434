//! The program itself: exit codes, colours, pipes and signals as a shell sees them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

fn program(server: &ScriptedServer, args: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    program.args(args).args(["--server", &server.url()]).stdin(Stdio::null());
    program
}

fn piped(server: &ScriptedServer, args: &[&str]) -> Child {
    program(server, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// The first line on stdout; the pipe is closed after it.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    line
}

fn one_record() -> ScriptedServer {
    pushing([Ok(vec![records(&[1], "t1"), end(EndReason::Limit, "t1")])])
}

#[test]
fn exit_codes_reach_the_shell() {
    let cases = [
        ("STREAM_NOT_FOUND", Code::NotFound, 3),
        ("UPSTREAM_ACCESS_DENIED", Code::FailedPrecondition, 4),
    ];
    for (reason, code, exit) in cases {
        let output = program(&pushing([Err(status(code, reason))]), &["tail", "orders", SHARD])
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        assert!(output.stdout.is_empty());
    }
    let output = program(&one_record(), &["tail", "orders", SHARD]).output().expect("it runs");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), b"10:00:00 INSERT id=1\n".as_slice())
    );
}

#[test]
fn colours_are_for_terminals_and_those_who_ask() {
    let colours = |args: &[&str], no_color: bool| {
        let server = one_record();
        let mut program = program(&server, &[&["tail", "orders", SHARD], args].concat());
        if no_color {
            program.env("NO_COLOR", "1");
        }
        let output = program.output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        [output.stdout, output.stderr].map(|printed| printed.contains(&0x1b))
    };
    assert_eq!(colours(&[], false), [false, false]);
    assert_eq!(colours(&["--color", "always"], false), [true, true]);
    assert_eq!(colours(&["--color", "always"], true), [true, true]);
    assert_eq!(colours(&["--color", "never"], false), [false, false]);
}

#[test]
fn a_pipe_that_closes_ends_it_quietly() {
    // More than a pipe holds, and then nothing: it is the write that has to notice.
    let ids: Vec<u32> = (0..100).collect();
    let mut pushes: Vec<Push> = (0..50).map(|_| records(&ids, "t")).collect();
    pushes.push(Push::Hang);
    let server = pushing([Ok(pushes)]);
    let mut child = piped(&server, &["tail", "orders", SHARD, "--output", "json"]);
    assert!(first_line(&mut child).starts_with(r#"{"shard_id""#));
    let output = child.wait_with_output().expect("it ends");
    let talk = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), talk.lines().count()), (Some(0), 1), "{talk}");
}

#[cfg(unix)]
#[test]
fn signals_print_the_token_and_exit_130() {
    for signal in ["-INT", "-TERM"] {
        let server = pushing([Ok(vec![records(&[1], "t1"), Push::Hang])]);
        let mut child = piped(&server, &["tail", "orders", SHARD]);
        assert_eq!(first_line(&mut child), "10:00:00 INSERT id=1\n");
        let killed = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(killed.success());
        let output = child.wait_with_output().expect("it ends");
        let talk = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(130), "{talk}");
        assert!(
            talk.contains(&format!("go on with: shardstream tail orders {SHARD} --from t1")),
            "{talk}"
        );
    }
}

#[test]
fn a_template_that_makes_no_sense_names_those_that_do() {
    for (args, told) in [
        (
            ["--format", "{size}"],
            "there is no {size}; there are {time} {type} {shard} {sequence} {key} {new} {old} {id}",
        ),
        (["--format", "{time"], "a brace stands alone"),
    ] {
        let output = program(&one_record(), &[&["tail", "orders"], &args[..]].concat())
            .output()
            .expect("it runs");
        let talk = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{talk}");
        assert!(talk.contains(told), "{talk}");
    }
    let args = ["tail", "orders", "--format", "{time}", "--output", "json"];
    let output = program(&one_record(), &args).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// On a terminal of 80 columns, with these variables.
fn on_a_terminal(server: &ScriptedServer, args: &str, variables: &[(&str, &str)]) -> String {
    let command = format!("{} {args} --server {}", env!("CARGO_BIN_EXE_shardstream"), server.url());
    let mut script = Command::new("script");
    script.args([
        "--quiet",
        "--return",
        "--command",
        &format!("stty cols 80; {command}"),
        "/dev/null",
    ]);
    script
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    let output = script.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[cfg(target_os = "linux")]
#[test]
fn shards_have_their_colours_on_a_terminal() {
    let server = || {
        let pushes = ["a", "b", "a"].map(|id| {
            let shard_id = format!("shardId-00000001795428000000-{id}{id}{id}{id}{id}{id}{id}{id}");
            let records = vec![record(1)];
            Push::Message(Box::new(SubscribeResponse { records, shard_id, ..Default::default() }))
        });
        let end = End { reason: EndReason::Limit.into(), ..Default::default() };
        let end = SubscribeResponse {
            event: Some(subscribe_response::Event::End(end)),
            ..Default::default()
        };
        let pushes = pushes.into_iter().chain([Push::Message(Box::new(end))]).collect();
        ScriptedServer::start(Script {
            subscriptions: Mutex::new([Ok(pushes)].into()),
            ..Default::default()
        })
    };
    let seen = on_a_terminal(&server(), "tail orders", &[]);
    let color = |line: &str| line.split_once("\u{1b}[38;5;").map(|(_, rest)| rest[..3].to_owned());
    let colors: Vec<_> = seen.lines().filter(|line| line.contains("INSERT")).map(color).collect();
    assert!(colors.len() == 3 && colors.iter().all(Option::is_some), "{seen:?}");
    assert_eq!(colors[0], colors[2]);
    assert_ne!(colors[0], colors[1]);

    let plain = on_a_terminal(&server(), "tail orders", &[("NO_COLOR", "1")]);
    assert!(
        plain.contains("aaaaaaaa 10:00:00 INSERT id=1") && !plain.contains('\u{1b}'),
        "{plain:?}"
    );
}
