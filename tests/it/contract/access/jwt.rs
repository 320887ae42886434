//! JSON Web Tokens: every RPC, with every way in which one is bad, and the keys that change.

use std::time::Duration;

use serde_json::{Value, json};
use shardstream::access::jwt::Expected;
use shardstream::config::{JwksSource, JwtConfig};

use super::*;
use crate::support::jwt::{AUDIENCE, ISSUER, Issuer};
use crate::support::scripted_http::{Answer, ROOT, ScriptedHttp};

/// A server that takes the issuer's JWTs beside static tokens.
struct JwtBed {
    bed: Bed,
    issuer: Issuer,
}

fn config(keys: JwksSource) -> JwtConfig {
    let (issuer, audience) = (ISSUER.to_owned(), AUDIENCE.to_owned());
    let expected = Expected { issuer, audience, name_claim: "sub".into() };
    JwtConfig { expected, keys, optional: false }
}

impl JwtBed {
    async fn new() -> Self {
        let issuer = Issuer::new("one");
        let bed = Bed::with(|folder, access| {
            let jwks = written(folder, "jwks.json", issuer.jwks()).expect("a path");
            access.jwt = Some(config(JwksSource::File(jwks)));
        });
        Self { bed: bed.await, issuer }
    }

    async fn info(&self, token: &str) -> Result<(), (Code, String)> {
        let info = "shardstream.v1.ServerService/GetServerInfo";
        self.bed.call(&[&format!("Bearer {token}")], info, vec![]).await.map(drop)
    }
}

fn unauthenticated(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.to_owned())
}

#[tokio::test]
async fn every_method_refuses_jwts_that_prove_nothing() {
    let JwtBed { bed, issuer } = JwtBed::new().await;
    let now = jiff::Timestamp::now().as_second();
    let (invalid, expired) = ("CREDENTIALS_INVALID", "CREDENTIALS_EXPIRED");
    let long = "x".repeat(7 << 10);
    let good = issuer.token("all");
    let (before, after) = good.split_at(good.len() / 2);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    let damaged = format!("{before}{other}{}", &after[1..]);
    let nobodies = [
        ("expired", issuer.with("all", "exp", json!(now - 31)), expired),
        ("alg none", issuer.unsigned("all"), invalid),
        ("HS256 with the public key", issuer.by_public_key("all"), invalid),
        ("of another issuer", issuer.with("all", "iss", json!("https://evil.test")), invalid),
        ("for somebody else", issuer.with("all", "aud", json!("another")), invalid),
        ("no issuer", issuer.with("all", "iss", Value::Null), invalid),
        ("no audience", issuer.with("all", "aud", Value::Null), invalid),
        ("no expiry", issuer.with("all", "exp", Value::Null), invalid),
        ("no subject", issuer.with("all", "sub", Value::Null), invalid),
        ("not yet", issuer.with("all", "nbf", json!(now + 90)), invalid),
        ("another's key", Issuer::new("one").token("all"), invalid),
        ("an unknown key", Issuer::new("two").token("all"), invalid),
        ("too long", issuer.with("all", "pad", json!(long)), invalid),
        ("damaged", damaged, invalid),
    ];
    for method in methods() {
        let (_, request) = request(&method, name(&bed.orders), "0".repeat(32));
        for (what, token, reason) in &nobodies {
            let answer = bed.call(&[&format!("Bearer {token}")], &method, request.clone()).await;
            assert_eq!(answer, Err(unauthenticated(reason)), "{method}: {what}");
        }
        let (good, static_one) = (format!("Bearer {good}"), bearer("all"));
        for two in [[&*good, &*good], [&*good, &*static_one]] {
            let answer = bed.call(&two, &method, request.clone()).await;
            assert_eq!(answer, Err(unauthenticated(invalid)), "{method}: two headers");
        }
    }
    assert!(bed.fake.all_calls().is_empty(), "nobodies cost the upstream nothing");
}

/// A key of RSA signs by RS256 and by PS256, as its set says; by nothing else.
#[tokio::test]
async fn rsa_keys_sign_by_what_their_set_says() {
    use jsonwebtoken::Algorithm::{PS256, PS384, RS256, RS384, RS512};
    let signed = async |issuer: Issuer, by: jsonwebtoken::Algorithm| {
        let jwks = issuer.jwks();
        let bed = Bed::with(|folder, access| {
            let jwks = written(folder, "jwks.json", jwks).expect("a path");
            access.jwt = Some(config(JwksSource::File(jwks)));
        });
        let bed = JwtBed { bed: bed.await, issuer: issuer.by(by) };
        let answer = bed.info(&bed.issuer.token("all")).await;
        let other = bed.info(&Issuer::rsa("one", by).token("all")).await;
        assert_eq!(other, Err(unauthenticated("CREDENTIALS_INVALID")), "{by:?} by another's key");
        answer
    };
    let refused = Err(unauthenticated("CREDENTIALS_INVALID"));
    for own in [RS256, PS256] {
        assert_eq!(signed(Issuer::rsa("one", own), own).await, Ok(()), "{own:?}");
        let other = if own == RS256 { PS256 } else { RS256 };
        assert_eq!(signed(Issuer::rsa("one", own), other).await, refused, "{other:?}, not {own:?}");
        let unsaid = Issuer::rsa("one", own).unsaid();
        assert_eq!(signed(unsaid, other).await, Ok(()), "{other:?}, where nothing is said");
    }
    for weaker_or_stronger in [RS384, RS512, PS384] {
        let answer = signed(Issuer::rsa("one", RS256).unsaid(), weaker_or_stronger).await;
        assert_eq!(answer, refused, "{weaker_or_stronger:?} is not taken");
    }
}

#[tokio::test]
async fn every_method_is_judged_by_whom_a_jwt_names() {
    let JwtBed { bed, issuer } = JwtBed::new().await;
    for method in methods() {
        for caller in ["all", "lists", "inspects", "reads", "nothing"] {
            let (needs, request) = request(&method, name(&bed.orders), "0".repeat(32));
            if needs == Needs::Lease {
                continue;
            }
            let token = format!("Bearer {}", issuer.token(caller));
            let answer = bed.call(&[&token], &method, request).await;
            match may(caller, needs) {
                true => assert!(answer.is_ok(), "{caller}: {method}: {answer:?}"),
                false => {
                    let refusal = (Code::PermissionDenied, "NOT_ALLOWED".to_owned());
                    assert_eq!(answer, Err(refusal), "{caller}: {method}");
                }
            }
        }
    }
    // The same name of another kind is somebody else, and has no claim on its leases.
    let lease_id = bed.lease("all").await;
    let get = pb::GetShardSessionRequest { lease_id }.encode_to_vec();
    let token = format!("Bearer {}", issuer.token("all"));
    let answer = bed.call(&[&token], "shardstream.v1.ShardService/GetShardSession", get).await;
    assert_eq!(answer, Err((Code::NotFound, "LEASE_NOT_FOUND".into())));
}

#[tokio::test]
async fn keys_in_a_file_are_replaced_and_bad_ones_change_nothing() {
    let bed = JwtBed::new().await;
    let (old, new) = (bed.issuer.token("all"), Issuer::new("two"));
    assert_eq!(bed.info(&old).await, Ok(()));
    for (count, bad) in [(1, "half a fi".to_owned()), (2, r#"{"keys":[]}"#.to_owned())] {
        bed.bed.replace("jwks.json", &bad);
        bed.bed.reloaded("failed", count).await;
        assert_eq!(bed.info(&old).await, Ok(()), "{bad}");
    }
    bed.bed.replace("jwks.json", &new.jwks());
    bed.bed.reloaded("ok", 1).await;
    assert_eq!(bed.info(&old).await, Err(unauthenticated("CREDENTIALS_INVALID")));
    assert_eq!(bed.info(&new.token("all")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_jwt_of_its_caller() {
    let JwtBed { bed, issuer } = JwtBed::new().await;
    let source = Some(pb::stream_records_request::Source::Start(pb::ShardStart {
        shard: Some(name(&bed.orders)),
        start: Some(pb::shard_start::Start::Position(position(pb::IteratorType::TrimHorizon))),
    }));
    let mut request = Request::new(pb::StreamRecordsRequest { source, ..Default::default() });
    let token = format!("Bearer {}", issuer.token("all")).parse().expect("a header");
    request.metadata_mut().append("authorization", token);
    let opened = bed.server.shards().await.stream_records(request).await;
    let (mut stream, begun) = (opened.expect("allowed").into_inner(), tokio::time::Instant::now());
    let status = loop {
        match stream.message().await {
            Ok(message) => drop(message.expect("a status")),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unauthenticated);
    let lived = begun.elapsed().as_secs();
    assert!((3_500..=3_630).contains(&lived), "its hour, and clocks that differ: {lived}");
}

/// A server whose keys come from a URL.
async fn fetching(http: &ScriptedHttp) -> Bed {
    Bed::with(|folder, access| {
        let ca = written(folder, "jwks-ca.pem", ROOT.to_owned());
        let url = format!("{}/keys.json", http.url).parse().expect("a URL");
        access.jwt = Some(config(JwksSource::Url(url, ca)));
    })
    .await
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_once_a_minute_at_most() {
    let (issuer, next) = (Issuer::new("one"), Issuer::new("two"));
    let http = ScriptedHttp::start_tls().await;
    http.answer("", [Answer::ok(issuer.jwks())]);
    let bed = fetching(&http).await;
    let info = "shardstream.v1.ServerService/GetServerInfo";
    let call =
        async |token: &str| bed.call(&[&format!("Bearer {token}")], info, vec![]).await.map(drop);
    assert_eq!(call(&issuer.token("all")).await, Ok(()));
    for forged in 0..20 {
        let refused = call(&Issuer::new(&forged.to_string()).token("all")).await;
        assert_eq!(refused, Err(unauthenticated("CREDENTIALS_INVALID")));
        bed.server.reload.notify_one();
    }
    bed.replace("tokens.toml", &format!("{}\n", token_file()));
    let looked = async {
        while bed.server.counted("shardstream_access_reloads_total").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    in_time("a look", looked).await;
    assert_eq!(http.requests("").len(), 1, "a storm of unknown keys");
    // The next key is known within the minute; an answer that is no key set changes nothing.
    for (answer, fetches) in [
        (Answer::ok("<html>"), 2),
        (Answer::ok(" ".repeat(65 << 10)), 3),
        (Answer::ok("{}").status(302).header("location", "https://evil.test/"), 4),
        (Answer::ok(next.jwks()), 5),
    ] {
        assert_eq!(call(&issuer.token("all")).await, Ok(()), "the last good set is kept");
        http.answer("", [answer]);
        let _wanted = call(&next.token("all")).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
        bed.server.reload.notify_one();
        let fetched = async {
            while http.requests("").len() < fetches {
                tokio::task::yield_now().await;
            }
        };
        in_time("a fetch", fetched).await;
    }
    let known = async { while call(&next.token("all")).await.is_err() {} };
    in_time("the next key", known).await;
    assert_eq!(call(&issuer.token("all")).await, Err(unauthenticated("CREDENTIALS_INVALID")));
}
