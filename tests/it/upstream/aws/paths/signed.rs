//! What is sent on the path: signed as AWS checks it, to where the SDK would send it.

use super::*;
use crate::support::scripted_http::Request;
use sha2::{Digest, Sha256};

/// The secret of the made-up key.
const SECRET: &[u8] = b"shardstream";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = key.to_vec();
    block.resize(64, 0);
    let with = |pad: u8| block.iter().map(|byte| byte ^ pad).collect::<Vec<_>>();
    let inner = Sha256::digest([with(0x36), text.as_bytes().to_vec()].concat());
    Sha256::digest([with(0x5c), inner.to_vec()].concat()).to_vec()
}

/// The signature that AWS would expect, by the description of its version 4.
fn expected(asked: &Request) -> String {
    let header = |name: &str| asked.header(name).unwrap_or_default();
    let (before, _) = header("authorization").split_once(", Signature=").expect("a signature");
    let (credential, signed) = before.split_once(", SignedHeaders=").expect("headers");
    let scope = credential.split_once('/').expect("a scope").1;
    let path = asked.head.split(' ').nth(1).expect("a path");
    let headers: String =
        signed.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let body = hex(Sha256::digest(&asked.raw));
    let request = format!("POST\n{path}\n\n{headers}\n{signed}\n{body}");
    let (date, request) = (header("x-amz-date"), hex(Sha256::digest(request)));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{request}");
    let secret = [&b"AWS4"[..], SECRET].concat();
    let key = scope.split('/').fold(secret, |key, part| hmac(&key, part));
    format!("{before}, Signature={}", hex(hmac(&key, &text)))
}

#[tokio::test]
async fn requests_are_the_sdks_but_for_its_own_numbers() {
    for path in ["", "/", "/deep/er", "/with%20blank/"] {
        let server = ScriptedHttp::start().await;
        let endpoint_url = Some(format!("{}{path}", server.url));
        let upstream = connect(&server, AwsOptions { endpoint_url, ..options(&server) }).await;
        server.answer("GetRecords", [Answer::new(500, ""), Answer::ok(PAGE)]);
        let iterator = "arn:aws:dynamodb|1|\"quoted\" \\ \u{e9}==";
        ask(&upstream, iterator).await.expect_err("500");
        ask(&upstream, iterator).await.expect("a page");
        let asked = server.asked("GetRecords");
        let [direct, sdk] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(!direct.is_by_sdk() && sdk.is_by_sdk());
        assert_eq!(direct.raw, sdk.raw);
        assert_eq!(direct.head.lines().next(), sdk.head.lines().next());
        for name in ["host", "content-type", "x-amz-target", "user-agent", "content-length"] {
            assert!(direct.header(name).is_some(), "{name}");
            assert_eq!(direct.header(name), sdk.header(name), "{name}");
        }
        if path.contains('%') {
            // AWS encodes once more what is encoded, which `expected` does not.
            continue;
        }
        for asked in &asked {
            assert_eq!(asked.header("authorization"), Some(expected(asked).as_str()), "{path}");
        }
    }
}

/// What AWS wants signed is: the host, the time, and every header of its own.
#[tokio::test]
async fn what_aws_wants_signed_is_signed() {
    let (server, upstream) = one_way(false, Duration::from_secs(10)).await;
    server.answer("GetRecords", [Answer::ok(PAGE)]);
    ask(&upstream, "it").await.expect("a page");
    let asked = &server.asked("GetRecords")[0];
    let signature = asked.header("authorization").expect("signed");
    let signed = signature.split_once("SignedHeaders=").expect("headers").1;
    let signed: Vec<_> = signed.split(", ").next().expect("some").split(';').collect();
    let names = asked.head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let wanted = names.map(|(name, _)| name.to_lowercase());
    for name in wanted.filter(|name| name.starts_with("x-amz-") || name == "host") {
        assert!(signed.contains(&name.as_str()), "{name} in {signed:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_on_the_path_where_it_is_not_wanted() {
    let (server, upstream) = one_way(true, Duration::from_secs(10)).await;
    server.answer("GetRecords", [Answer::ok(PAGE)]);
    for call in 0..10 {
        ask(&upstream, &call.to_string()).await.expect("a page");
    }
    assert_eq!(by_sdk(&server), [true; 10]);
}
