//! Somebody who issues JWTs, well and badly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

/// The issuer's name, and the audience of the server.
pub const ISSUER: &str = "https://id.test";
pub const AUDIENCE: &str = "shardstream";

/// What stands before the key itself in PKCS#8, where an RSA key has 2,048 bits.
const PKCS8_HEAD: usize = 26;

/// An issuer with one key.
pub struct Issuer {
    key: EncodingKey,
    algorithm: Algorithm,
    kid: String,
    public: Value,
}

impl Issuer {
    pub fn new(kid: &str) -> Self {
        let pair = KeyPair::generate().expect("a key");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self::with_key(kid, key, Algorithm::ES256)
    }

    /// One with an RSA key, which signs by `algorithm`.
    pub fn rsa(kid: &str, algorithm: Algorithm) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let key = EncodingKey::from_rsa_der(&pair.serialize_der()[PKCS8_HEAD..]);
        Self::with_key(kid, key, algorithm)
    }

    fn with_key(kid: &str, key: EncodingKey, algorithm: Algorithm) -> Self {
        let public = Jwk::from_encoding_key(&key, algorithm).expect("a key");
        let mut public = serde_json::to_value(public).expect("JSON");
        public["kid"] = kid.into();
        Self { key, algorithm, kid: kid.into(), public }
    }

    /// The same key, which signs by another algorithm. What its set says of the key stays.
    pub fn by(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The same, whose set does not say by which algorithm the key signs.
    pub fn unsaid(mut self) -> Self {
        self.public.as_object_mut().expect("a map").remove("alg");
        self
    }

    /// The key set.
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.public] }).to_string()
    }

    /// What a good token of this caller says, for an hour.
    pub fn claims(name: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": now + 3_600 })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("signed")
    }

    /// A good token of this caller.
    pub fn token(&self, name: &str) -> String {
        self.sign(&Self::claims(name))
    }

    /// A good token, but for this claim; `null` takes it out.
    pub fn with(&self, name: &str, claim: &str, value: Value) -> String {
        let mut claims = Self::claims(name);
        match value {
            Value::Null => drop(claims.as_object_mut().expect("a map").remove(claim)),
            value => claims[claim] = value,
        }
        self.sign(&claims)
    }

    /// Signed by nobody.
    pub fn unsigned(&self, name: &str) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": "none", "kid": self.kid }));
        format!("{header}.{}.", part(Self::claims(name)))
    }

    /// Signed with what everybody knows: the public key, as if it were a secret.
    pub fn by_public_key(&self, name: &str) -> String {
        let point = ["x", "y"].map(|part| {
            URL_SAFE_NO_PAD.decode(self.public[part].as_str().expect("a text")).expect("base64")
        });
        let secret = EncodingKey::from_secret(&[&[4], &point[0][..], &point[1][..]].concat());
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &Self::claims(name), &secret).expect("signed")
    }
}
