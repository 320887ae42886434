//! What was found of tokens that were checked already: a signature costs more than all else of a
//! call. Bounded; the oldest goes first.

use std::collections::{HashMap, VecDeque};

use crate::access::principal::Principal;
use crate::access::static_tokens::TokenDigest;
use crate::model::Timestamp;

use super::KeyId;

/// The most tokens that are remembered.
const MOST: usize = 10_000;

/// What was found of a token that is believed.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) who: Principal,
    pub(super) expires: Timestamp,
    pub(super) key: KeyId,
}

/// The tokens that are believed.
#[derive(Debug, Default)]
pub(super) struct VerifiedTokens {
    by_digest: HashMap<TokenDigest, Verified>,
    order: VecDeque<TokenDigest>,
}

impl VerifiedTokens {
    /// What was found of this token.
    pub(super) fn get(&self, token: TokenDigest) -> Option<Verified> {
        self.by_digest.get(&token).cloned()
    }

    /// Remembers what was found of a token.
    pub(super) fn keep(&mut self, token: TokenDigest, verified: Verified) {
        if self.by_digest.insert(token, verified).is_none() {
            self.order.push_back(token);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.by_digest.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::jwt::KeySet;
    use crate::access::principal::PrincipalKind;

    #[test]
    fn no_more_are_remembered_than_the_bound() {
        let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let key = KeySet::parse(key).expect("a set").named(None).next().expect("one").id;
        let who = Principal::new(PrincipalKind::Jwt, "a").expect("a name");
        let expires = Timestamp::new(1, 0).expect("a time");
        let mut tokens = VerifiedTokens::default();
        for number in 0..MOST + 100 {
            let verified = Verified { who: who.clone(), expires, key };
            tokens.keep(TokenDigest::of(&number.to_string()), verified);
        }
        assert_eq!((tokens.by_digest.len(), tokens.order.len()), (MOST, MOST));
        assert!(tokens.get(TokenDigest::of("0")).is_none());
        assert!(tokens.get(TokenDigest::of(&(MOST + 99).to_string())).is_some());
    }
}
