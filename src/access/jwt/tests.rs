use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

/// Somebody who signs.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    public: Value,
}

impl Signer {
    fn new(algorithm: Algorithm, kid: Option<&str>) -> Self {
        let (key, mut public) = match algorithm {
            Algorithm::ES256 => {
                let pair = rcgen::KeyPair::generate().expect("a key");
                let key = EncodingKey::from_ec_der(&pair.serialize_der());
                let public = Jwk::from_encoding_key(&key, algorithm).expect("a key");
                (key, serde_json::to_value(public).expect("JSON"))
            }
            Algorithm::EdDSA => {
                let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
                let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
                let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
                (EncodingKey::from_ed_der(&pair.serialize_der()), public)
            }
            other => panic!("{other:?}"),
        };
        public["alg"] = format!("{algorithm:?}").into();
        if let Some(kid) = kid {
            public["kid"] = kid.into();
        }
        Self { key, algorithm, public }
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = self.public["kid"].as_str().map(str::to_owned);
        self.sign_with(&header, claims)
    }

    fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).expect("signed")
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 0).expect("a time")
}

fn claims() -> Value {
    json!({ "iss": "https://id.test", "aud": "shardstream", "sub": "ci", "exp": NOW + 300, "team": "a" })
}

fn jwts(keys: &[&Signer], name_claim: &str) -> Jwts {
    let keys: Vec<_> = keys.iter().map(|signer| signer.public.clone()).collect();
    let keys = KeySet::parse(&json!({ "keys": keys }).to_string()).expect("a set");
    let expected = Expected {
        issuer: "https://id.test".into(),
        audience: "shardstream".into(),
        name_claim: name_claim.into(),
    };
    Jwts::new(expected, keys, KeysFreshness::default())
}

fn who(jwts: &Jwts, token: &str, now: i64) -> Result<String, CredentialsError> {
    jwts.whose(token, at(now)).map(|(who, ..)| who.to_string())
}

#[test]
fn a_token_that_says_what_is_expected_names_its_caller_until_it_expires() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::new(algorithm, Some("one"));
        let jwts = jwts(&[&signer], "sub");
        let token = signer.sign(&claims());
        let ci = Ok("jwt:https://id.test#ci".to_owned());
        // Twice: the second time it is known.
        assert_eq!((who(&jwts, &token, NOW), who(&jwts, &token, NOW + 329)), (ci.clone(), ci));
        assert_eq!(who(&jwts, &token, NOW + 330), Err(CredentialsError::Expired));
        let (_, expires, key) = jwts.whose(&token, at(NOW)).expect("known");
        assert_eq!((expires, jwts.believe(key, at(NOW))), (at(NOW + 330), Ok(())));
    }
    let signer = Signer::new(Algorithm::ES256, None);
    let token = signer.sign(&claims());
    assert_eq!(who(&jwts(&[&signer], "team"), &token, NOW), Ok("jwt:https://id.test#a".into()));
    let mut of_many = claims();
    of_many["aud"] = json!(["other", "shardstream"]);
    assert!(who(&jwts(&[&signer], "sub"), &signer.sign(&of_many), NOW).is_ok());
}

#[test]
fn what_is_missing_or_of_another_kind_is_refused() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let jwts = jwts(&[&signer], "sub");
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        match value {
            Value::Null => drop(claims.as_object_mut().expect("a map").remove(name)),
            value => claims[name] = value,
        }
        who(&jwts, &signer.sign(&claims), NOW)
    };
    for (name, values) in [
        (
            "iss",
            vec![Value::Null, json!("https://evil.test"), json!(["https://id.test"]), json!(1)],
        ),
        ("aud", vec![Value::Null, json!("other"), json!([]), json!(["other"]), json!({})]),
        ("sub", vec![Value::Null, json!(""), json!(7), json!("a b"), json!("x".repeat(300))]),
        ("exp", vec![Value::Null, json!("soon"), json!(1e300)]),
        ("nbf", vec![json!(NOW + 31), json!("now")]),
    ] {
        for value in values {
            assert_eq!(
                with(name, value.clone()),
                Err(CredentialsError::Invalid),
                "{name}: {value}"
            );
        }
    }
    assert_eq!(with("nbf", json!(NOW + 30)), Ok("jwt:https://id.test#ci".into()));
    assert_eq!(with("exp", json!(NOW as f64 + 0.5)), Ok("jwt:https://id.test#ci".into()));
    for gone in [NOW - 31, 0, -5] {
        assert_eq!(with("exp", json!(gone)), Err(CredentialsError::Expired));
    }
}

#[test]
fn a_token_chooses_neither_its_algorithm_nor_its_key() {
    let (one, two) =
        (Signer::new(Algorithm::ES256, Some("one")), Signer::new(Algorithm::ES256, Some("two")));
    let jwts = jwts(&[&one, &two], "sub");
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let refused = |token: &str| assert_eq!(who(&jwts, token, NOW), Err(CredentialsError::Invalid));
    let good = one.sign(&claims());
    assert!(who(&jwts, &good, NOW).is_ok());
    for algorithm in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": algorithm, "kid": "one" });
        refused(&format!("{}.{}.", text(&header), text(&claims())));
        refused(&format!("{}.{}.{}", text(&header), text(&claims()), "AAAA"));
    }
    // Signed with what everybody knows of the key.
    let public = one.public.to_string();
    for secret in [public.as_bytes(), jwts.keys.keys[0].key.try_get_as_bytes().expect("EC")] {
        let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret));
        refused(&forged.expect("signed"));
    }
    // By another key than it names, by none that it names, and with its own key beside it.
    let named =
        |kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
    refused(&one.sign_with(&named(Some("two")), &claims()));
    refused(&one.sign_with(&named(None), &claims()));
    let stranger = Signer::new(Algorithm::ES256, Some("one"));
    let own = serde_json::from_value::<Jwk>(stranger.public.clone()).expect("a key");
    refused(&stranger.sign_with(&Header { jwk: Some(own), ..named(Some("one")) }, &claims()));
    let critical = Header { crit: Some(vec!["b64".into()]), ..named(Some("one")) };
    refused(&one.sign_with(&critical, &claims()));
    // Damaged.
    let (head, rest) = good.split_once('.').expect("three parts");
    refused(&format!("{head}.{}{rest}", "A"));
    refused(&good[..good.len() - 2]);
    refused("..");
    assert!(!jwts.freshness.take_wanted(), "all of these keys are known");
    refused(&one.sign_with(&named(Some("three")), &claims()));
    assert!(jwts.freshness.take_wanted() && !jwts.freshness.take_wanted());
}

#[test]
fn a_set_holds_public_keys_for_signatures_only() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let set = |keys: Value| KeySet::parse(&json!({ "keys": keys }).to_string());
    let with = |name: &str, value: Value| {
        let mut key = signer.public.clone();
        key[name] = value;
        set(json!([key])).map(|_| ())
    };
    assert_eq!(with("use", json!("sig")), Ok(()));
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" });
    assert_eq!(set(json!([secret, signer.public])).expect("one").keys.len(), 1);
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("crv", json!("secp256k1")),
    ] {
        assert_eq!(with(name, value.clone()), Err(JwksError::Empty), "{name}: {value}");
    }
    assert_eq!(set(json!([secret])).map(|_| ()), Err(JwksError::Empty));
    assert_eq!(KeySet::parse("{}").map(|_| ()), Err(JwksError::Syntax));
    assert_eq!(KeySet::parse("half a fi").map(|_| ()), Err(JwksError::Syntax));
    assert_eq!(set(json!(vec![secret; 101])).map(|_| ()), Err(JwksError::Many));
}

#[test]
fn keys_that_are_too_old_are_believed_no_more() {
    let signer = Signer::new(Algorithm::ES256, Some("one"));
    let jwts = jwts(&[&signer], "sub");
    jwts.freshness.believe_until(at(NOW + 10));
    let token = signer.sign(&claims());
    let (_, _, key) = jwts.whose(&token, at(NOW + 9)).expect("believed");
    assert_eq!(who(&jwts, &token, NOW + 10), Err(CredentialsError::Unverifiable));
    assert_eq!(jwts.believe(key, at(NOW + 10)), Err(CredentialsError::Unverifiable));
    let other = Signer::new(Algorithm::ES256, Some("one"));
    let replaced = super::tests::jwts(&[&other], "sub");
    assert_eq!(replaced.believe(key, at(NOW)), Err(CredentialsError::Invalid));
}
