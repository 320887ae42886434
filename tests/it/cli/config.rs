//! Configuration as a user meets it: the program itself, with an environment of its own.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

struct Run {
    exit: i32,
    out: String,
    err: String,
}

#[track_caller]
fn run(env: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
    command.env_clear().envs(env.iter().copied()).args(args);
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Run { exit: status.code().expect("an exit code"), out: text(stdout), err: text(stderr) }
}

fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("shardstream.toml");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

/// The line of `key`, spaces squeezed.
#[track_caller]
fn setting(run: &Run, key: &str) -> String {
    assert_eq!(run.exit, 0, "{}", run.err);
    let line =
        run.out.lines().find(|line| line.trim_start_matches("# ").starts_with(&format!("{key} =")));
    line.expect("the key is printed").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn flags_beat_environment_beats_file_beats_default() {
    let (_folder, path) = file(
        "reader-idle-timeout = '1s'\nidle-poll-interval = '2s'\nmax-wait = '3s'\nno-reflection = true\n",
    );
    let env = [
        ("SHARDSTREAM_CONFIG", path.as_str()),
        ("SHARDSTREAM_READER_IDLE_TIMEOUT", "4s"),
        ("SHARDSTREAM_IDLE_POLL_INTERVAL", "5s"),
    ];
    let run = run(
        &env,
        &["config", "print", "serve", "--reader-idle-timeout", "6s", "--no-reflection=false"],
    );
    assert_eq!(setting(&run, "reader-idle-timeout"), r#"reader-idle-timeout = "6s" # flag"#);
    assert_eq!(
        setting(&run, "idle-poll-interval"),
        r#"idle-poll-interval = "5s" # env SHARDSTREAM_IDLE_POLL_INTERVAL"#
    );
    assert_eq!(setting(&run, "max-wait"), format!(r#"max-wait = "3s" # file {path}"#));
    assert_eq!(setting(&run, "get-records-timeout"), r#"get-records-timeout = "2s" # default"#);
    assert_eq!(setting(&run, "no-reflection"), "no-reflection = false # flag");
    assert_eq!(setting(&run, "aws-region"), "# aws-region = # not set");
}

#[test]
fn a_commands_own_table_beats_the_top_of_the_file() {
    let (_folder, path) = file("log = 'warn'\n[serve]\nlog = 'error'\n[tail]\ncount = 3\n");
    let print = |command| run(&[], &["config", "print", "--config", &path, command]);
    assert_eq!(setting(&print("serve"), "log"), format!(r#"log = "error" # file {path}"#));
    assert_eq!(
        setting(&run(&[], &["--config", &path, "config", "print", "tail", "Orders"]), "count"),
        format!("count = 3 # file {path}")
    );
    #[cfg(feature = "embedded")]
    assert_eq!(setting(&print("dev"), "log"), format!(r#"log = "warn" # file {path}"#));
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let first = run(&[("SHARDSTREAM_MAX_STREAMS", "77")], &["config", "print"]);
    let (_folder, path) = file(&first.out);
    let second = run(&[("SHARDSTREAM_CONFIG", &path)], &["config", "print"]);
    assert_eq!(setting(&second, "max-streams"), format!("max-streams = 77 # file {path}"));
    let values = |run: &Run| {
        let lines = run
            .out
            .lines()
            .map(|line| line.split(" # ").next().unwrap_or(line).trim_end().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn mistakes_are_usage_errors_that_say_where_they_are() {
    let (_folder, typo) = file("max-stream = 5\n");
    let (_other, bad) = file("[serve]\nreader-idle-timeout = 30\n");
    for (env, args, said) in [
        (&[][..], &["serve", "--reader-idle-timeut=1s"][..], "--reader-idle-timeout"),
        (&[], &["--config", &typo, "serve"], r#"unknown key "max-stream""#),
        (&[], &["--config", &typo, "serve"], r#"did you mean "max-streams"?"#),
        (&[], &["--config", &bad, "serve"], r#"bad value for "serve.reader-idle-timeout""#),
        (
            &[],
            &["--config", "/nonexistent/file", "serve"],
            "cannot read the configuration file /nonexistent/file",
        ),
        (
            &[("SHARDSTREAM_READER_IDLE_TIMEOUT", "30")],
            &["serve"],
            "environment variable SHARDSTREAM_READER_IDLE_TIMEOUT",
        ),
        (&[], &["serve", "--listen", "0.0.0.0:50051"], "--allow-plaintext"),
        (&[], &["config", "print", "--listen", "0.0.0.0:50051"], "--allow-plaintext"),
        (&[], &["serve", "--listen", "0.0.0.0:1", "--allow-plaintext"], "--allow-anonymous"),
        (&[], &["config", "print", "completions", "bash"], "config print takes serve"),
        (&[], &["get"], "<STREAM>"),
        (&[], &["tail", "Orders", "--from", "lates"], "trim-horizon, latest"),
        (&[], &[], "Usage:"),
    ] {
        let run = run(env, args);
        assert_eq!(run.exit, 2, "{args:?}: {}", run.err);
        assert!(run.err.contains(said), "{args:?}: {said:?} is not in {}", run.err);
        assert!(run.out.is_empty(), "{args:?}: {}", run.out);
    }
}

#[test]
fn the_tip_about_a_twin_is_only_given_where_it_is_to_blame() {
    let run = run(
        &[("SHARDSTREAM_READER_IDLE_TIMEOUT", "30s")],
        &["serve", "--reader-idle-timeout", "31"],
    );
    assert_eq!(run.exit, 2);
    assert!(!run.err.contains("SHARDSTREAM_READER_IDLE_TIMEOUT"), "{}", run.err);
}

#[test]
fn secrets_in_a_url_are_refused_and_not_repeated() {
    let run = run(
        &[("SHARDSTREAM_AWS_ENDPOINT_URL", "http://me:hunter2@localhost")],
        &["config", "print"],
    );
    assert_eq!(run.exit, 2);
    assert!(!run.err.contains("hunter2") && !run.out.contains("hunter2"), "{}", run.err);
}

#[test]
fn help_version_and_completions_go_to_stdout() {
    for (args, said) in [
        (&["--help"][..], "Exit codes: 0 ok"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["serve", "--help"], "SHARDSTREAM_WINDOW_BYTES_PER_SHARD"),
        (&["completions", "bash"], "window-bytes-per-shard"),
        (&["completions", "fish"], "exit-at-tip"),
    ] {
        let run = run(&[("SHARDSTREAM_WINDOW_BYTES", "1MiB")], args);
        assert_eq!(run.exit, 0, "{args:?}: {}", run.err);
        assert!(run.out.contains(said), "{args:?}: {}", run.out);
        assert!(run.err.is_empty(), "{args:?}: {}", run.err);
    }
}

#[test]
fn every_command_has_a_manual_page_with_all_its_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let written = run(&[("SHARDSTREAM_WINDOW_BYTES", "7MiB")], &["man", path]);
    assert_eq!((written.exit, written.out, written.err), (0, String::new(), String::new()));
    let page = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).expect("a page");
        text.replace("\\-", "-")
    };
    let help = run(&[], &["--help"]).out;
    let (_, commands) = help.split_once("Commands:\n").expect("a list of commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    // A line that goes on from the one before stands further in.
    let commands = commands.filter(|line| !line.starts_with("   "));
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        assert!(page("shardstream.1").contains(&format!("shardstream-{command}")), "{command}");
        assert!(page(&format!("shardstream-{command}.1")).contains(".SH SYNOPSIS"), "{command}");
    }
    let serve = page("shardstream-serve.1");
    for line in run(&[], &["config", "print", "serve"]).out.lines() {
        let Some((key, _)) = line.trim_start_matches("# ").split_once(" =") else { continue };
        assert!(serve.contains(&format!("--{key}")), "{key}");
    }
    assert!(serve.contains("SHARDSTREAM_WINDOW_BYTES") && !serve.contains("7MiB"));
    let nowhere = run(&[], &["man", &format!("{path}/nowhere")]);
    assert_eq!(nowhere.exit, 1);
    assert!(nowhere.err.contains("cannot write to"), "{}", nowhere.err);
}

#[test]
fn a_token_goes_to_stderr_and_only_its_digest_to_stdout() {
    let made = run(&[], &["token", "billing"]);
    assert_eq!(made.exit, 0, "{}", made.err);
    let token = made.err.trim();
    assert!(token.starts_with("sst_") && !made.out.contains(token), "{}", made.out);
    let (_folder, tokens) = file(&made.out);
    let (_other, policy) = file("[[rule]]\nprincipals = [\"everybody\"]\n");
    // The policy is refused and the tokens are not.
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"];
    let files = ["--tokens", &tokens, "--policy", &policy, "--aws-fake-credentials"];
    let upstream = ["--aws-endpoint-url", "http://127.0.0.1:9", "--aws-region", "eu-west-1"];
    let refused = run(&[], &[&args[..], &files[..], &upstream[..]].concat());
    assert_eq!(refused.exit, 2, "{}", refused.err);
    assert!(refused.err.contains("--policy") && refused.err.contains("line 1"));
    let bad = run(&[], &["token", "two words"]);
    assert_eq!(bad.exit, 2, "{}", bad.err);
    assert!(bad.out.is_empty() && !bad.err.contains("sst_"));
}

#[cfg(feature = "embedded")]
#[test]
fn the_simulators_flags_mean_something_or_are_refused() {
    let refused = |args: &[&str]| {
        let run = run(&[], args);
        assert_eq!(run.exit, 2, "{args:?}: {}", run.err);
        run.err
    };
    for flag in [
        "--time-scale=60",
        "--seed=2",
        "--rollover=1h",
        "--retention=1h",
        "--shards=2",
        "--split-rate=5",
        "--no-stream-limits",
        "--stream-bytes=1MiB",
        "--faults=faults.toml",
        "--control-listen=127.0.0.1:9091",
    ] {
        let name = flag.split('=').next().expect("a name");
        let said = refused(&["dev", flag]);
        assert!(said.contains(&format!("{name} has no meaning without --simulate")), "{said}");
        let printed = run(&[], &["config", "print", "dev", "--simulate", flag]);
        assert_eq!(printed.exit, 0, "{}", printed.err);
    }
    for (flag, why) in [
        ("--rollover=0", "--rollover must be more than zero"),
        ("--time-scale=0", "at least 1"),
        ("--time-scale=1000000", "--time-scale must be 1 to 100000"),
        ("--shards=2000", "--shards must be 1 to 1000"),
        ("--control-listen=0.0.0.0:9091", "--control-listen 0.0.0.0:9091 can be reached by others"),
        ("--control-listen=127.0.0.1:8000", "are the same address"),
    ] {
        let said = refused(&["simulate", flag]);
        assert!(said.contains(why), "{flag}: {said}");
    }
    let printed = run(&[], &["config", "print", "simulate"]);
    assert_eq!(setting(&printed, "rollover"), r#"rollover = "4h" # default"#);
    assert_eq!(setting(&printed, "time-scale"), "# time-scale = # not set");
}
