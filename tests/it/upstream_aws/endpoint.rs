//! Which endpoint, region and credentials are found, and where. The environment belongs to the whole process, so what
//! depends on it runs in a process of its own: this binary again, told to run one ignored test.

use std::process::Command;

use super::*;
use shardstream::upstream::Endpoint;
use shardstream::upstream::aws::ConnectError;

fn ask(name: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--ignored", "--exact", "--nocapture", &format!("upstream_aws::endpoint::{name}")]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/nowhere").env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
    let output = command.envs(variables.iter().copied()).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find_map(|line| line.split_once("told: ")).expect("a line");
    line.1.to_owned()
}

#[tokio::test]
#[ignore = "run by the tests below, in an environment of their making"]
async fn tell_endpoint() {
    match AwsUpstream::connect(AwsOptions::default()).await {
        Ok(upstream) => {
            let traits = upstream.traits();
            println!("told: {} {:?} {} {}", traits.region, traits.endpoint, traits.at_timestamp, traits.child_shards);
        }
        Err(error) => println!("told: {error:?}"),
    }
}

#[tokio::test]
#[ignore = "run by the tests below, in an environment of their making"]
async fn tell_class_without_credentials() {
    let upstream = AwsUpstream::connect(AwsOptions::default()).await.expect("a client");
    let error = upstream.records("it", 1).await.expect_err("nothing to sign with");
    println!("told: {:?} {}", error.class, error.message);
}

#[test]
fn the_environment_names_region_and_endpoint() {
    let region = ("AWS_REGION", "eu-west-3");
    assert_eq!(ask("tell_endpoint", &[region]), "eu-west-3 Aws true true");
    let all = ("AWS_ENDPOINT_URL", "http://all.test");
    let own = ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "http://own.test");
    assert_eq!(ask("tell_endpoint", &[region, all]), r#"eu-west-3 Custom("http://all.test") false true"#);
    assert_eq!(ask("tell_endpoint", &[region, all, own]), r#"eu-west-3 Custom("http://own.test") false true"#);
    assert_eq!(ask("tell_endpoint", &[own]), r#"us-east-1 Custom("http://own.test") false true"#);
    let ignored = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    assert_eq!(ask("tell_endpoint", &[region, all, own, ignored]), "eu-west-3 Aws true true");
    assert_eq!(ask("tell_endpoint", &[]), "NoRegion");
}

#[tokio::test]
async fn the_environments_endpoint_is_the_one_called() {
    let server = ScriptedHttp::start().await;
    server.answer("GetRecords", [Answer::error(400, "ValidationException", "I was asked")]);
    let url = server.url.clone();
    let told = tokio::task::spawn_blocking(move || {
        let key = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let place = [("AWS_REGION", "eu-west-3"), ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &*url)];
        ask("tell_class_without_credentials", &[key, place].concat())
    });
    assert_eq!(told.await.expect("it runs"), "Invalid I was asked");
}

#[test]
fn no_credentials_is_access_denied() {
    let told = ask("tell_class_without_credentials", &[("AWS_REGION", "eu-west-3")]);
    assert!(told.starts_with("AccessDenied "), "{told}");
    assert!(told.contains("credential"), "{told}");
}

#[tokio::test]
async fn options_win_and_are_checked() {
    let server = ScriptedHttp::start().await;
    let upstream = AwsUpstream::connect(AwsOptions { child_shards: Some(false), ..options(&server) }).await;
    let traits = upstream.expect("a client").traits();
    assert_eq!((traits.endpoint, traits.child_shards), (Endpoint::Custom(server.url.clone()), false));
    for bad in ["", "localhost:8000", "ftp://x", "http://", "http:// x"] {
        let options = AwsOptions { endpoint_url: Some(bad.to_owned()), ..options(&server) };
        let error = AwsUpstream::connect(options).await.expect_err(bad);
        assert_eq!(error, ConnectError::Endpoint(bad.to_owned()));
    }
}
