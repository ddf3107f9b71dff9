//! The access token: what a holder shows to the instance, and the instance verifies without asking anyone.
//!
//! It is `v1.<epoch>.<expiry>.<HMAC-SHA-256 of instance, epoch and expiry under the node's key>`. The node made the key
//! and keeps it; only the pool's table has it besides. No shared secret, no key service.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::{Epoch, InstanceId, number};
use crate::time::Timestamp;

/// The token that opens `instance` to the lease of `epoch` until `expires`; `None` while the node has no key yet.
#[must_use]
pub fn token(key: &str, instance: &InstanceId, epoch: Epoch, expires: Timestamp) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    let mac = signature(key, instance, epoch, expires).finalize().into_bytes();
    Some(format!("v1.{epoch}.{}.{}", expires.0, BASE64URL_NOPAD.encode(&mac)))
}

/// What a valid token says: its epoch and expiry. `None` when it was not made with this key for this instance, or is spelt
/// otherwise than it was made.
#[must_use]
pub fn verify(token: &str, key: &str, instance: &InstanceId) -> Option<(Epoch, Timestamp)> {
    let mut parts = token.strip_prefix("v1.")?.split('.');
    let (epoch, expires) = (number(parts.next()?)?, Timestamp(number(parts.next()?)?));
    let mac = BASE64URL_NOPAD.decode(parts.next()?.as_bytes()).ok()?;
    if key.is_empty() || parts.next().is_some() {
        return None;
    }
    signature(key, instance, epoch, expires).verify_slice(&mac).ok().map(|()| (epoch, expires))
}

fn signature(key: &str, instance: &InstanceId, epoch: Epoch, expires: Timestamp) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{instance}|{epoch}|{}", expires.0).as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_instance_epoch_and_expiry_verify() {
        let instance: InstanceId = "i-0123456789abcdef0".parse().expect("valid");
        let other: InstanceId = "i-0123456789abcdef1".parse().expect("valid");
        let token = token("key", &instance, 7, Timestamp(100)).expect("there is a key");
        assert_eq!(verify(&token, "key", &instance), Some((7, Timestamp(100))));
        assert_eq!(verify(&token, "yek", &instance), None);
        assert_eq!(verify(&token, "key", &other), None);
        assert_eq!(verify(&token.replace("v1.7.", "v1.8."), "key", &instance), None);
        assert_eq!(verify(&token.replace(".100.", ".900."), "key", &instance), None);
        assert_eq!(verify(&format!("{token}.x"), "key", &instance), None);
        for other_spelling in ["v1.07.", "v1.+7.", "v1. 7."] {
            assert_eq!(verify(&token.replace("v1.7.", other_spelling), "key", &instance), None, "{other_spelling}");
        }
        assert_eq!(verify(&token.replace(".100.", ".0100."), "key", &instance), None);
        assert_eq!(super::token("", &instance, 7, Timestamp(100)), None);
        assert_eq!(verify(&token, "", &instance), None);
    }
}
