//! The access token, whose form nodes in service rely on.

use pool_core::access::{token, verify};
use pool_core::time::Timestamp;

use crate::given::{LEASE_EPOCH, NOW, instance};

/// HMAC-SHA-256 of `i-00000000000000001|40|1795457660` under `key-1`, computed by another program.
const TOKEN: &str = "v1.40.1795457660.ckeMqhv9BMi7-hAtu1P0Kl9x2OZEdmpSK5uQc50aKsk";

/// The same under the empty key.
const KEYLESS: &str = "v1.40.1795457660.xI6UsECXyP4h8RDOheU3q7Wf2MJvMLmTDE-jRXXdlgk";

fn said(token: &str, key: &str) -> Option<(u64, Timestamp)> {
    verify(token, key, &instance(1))
}

#[test]
fn a_token_is_signed_under_the_nodes_key_and_says_epoch_and_expiry() {
    let made = token("key-1", &instance(1), LEASE_EPOCH, NOW + 60);
    assert_eq!(made.as_deref(), Some(TOKEN));
    assert_eq!(said(TOKEN, "key-1"), Some((LEASE_EPOCH, NOW + 60)));
}

#[test]
fn a_token_opens_one_instance_under_one_key_only() {
    assert_eq!(said(TOKEN, "key-2"), None);
    assert_eq!(verify(TOKEN, "key-1", &instance(2)), None);
    for changed in [
        TOKEN.replace("v1.40.", "v1.41."),
        TOKEN.replace(".1795457660.", ".1795457661."),
        TOKEN.replace("v1.40.", "v1.040."),
        TOKEN.replace("v1.", "v2."),
        format!("{TOKEN}."),
        format!("{TOKEN}.x"),
        TOKEN.replace(".ckeM", ".dkeM"),
        TOKEN.replace(".ckeM", "."),
        "v1.40.1795457660".to_owned(),
        "v1".to_owned(),
    ] {
        assert_eq!(said(&changed, "key-1"), None, "{changed}");
    }
}

#[test]
fn without_a_key_there_is_no_token_and_none_is_believed() {
    assert_eq!(token("", &instance(1), LEASE_EPOCH, NOW + 60), None);
    assert_eq!(said(KEYLESS, ""), None, "anyone can make such a one");
}
