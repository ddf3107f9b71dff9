//! The names of things: what is taken for one, and that those in the table stay what they are.

use pool_core::ids::{BadId, Grant, InstanceId, LeaseId, NodeKey, Owner, Token};

use crate::given::{ann, instance, token};

/// Leases and waits are found in the table by these names, so a release that made other ones would lose them.
#[test]
fn owners_and_tokens_are_hashed_as_they_always_were() {
    assert_eq!(Owner::of("AROAANN").as_str(), "67n_LaKO04gc01OWAYYLXw");
    assert_eq!(Token::of_key(&ann(), "k").as_str(), "SscCk4aKal9h");
    assert_eq!(Token::from_bytes([1; Token::BYTES]).as_str(), "AQEBAQEBAQEB");
}

#[test]
fn an_instance_id_has_eight_or_seventeen_hexadecimal_digits() {
    for text in ["i-01234567", "i-abcdef89", "i-0123456789abcdef0"] {
        assert_eq!(text.parse(), Ok(InstanceId::trusted(text)));
    }
    for text in ["i-0123456", "i-012345678", "i-0123456g", "i-0123456F", "01234567", "j-01234567", "i-0123456789abcde"]
    {
        let Err(BadId(why)) = text.parse::<InstanceId>() else { panic!("{text} was accepted") };
        assert!(why.starts_with("an instance id is"), "{why}");
    }
}

#[test]
fn a_token_has_twelve_characters() {
    assert_eq!("AQEBAQEBAQEB".parse(), Ok(token(1)));
    assert_eq!("____----0000".parse(), Ok(Token::trusted("____----0000")));
    for text in ["", "AQEBAQEB", "AQEBAQEBAQEBAQEB", "AQEBAQEBAQE+", "AQEBAQEBAQE="] {
        assert!(text.parse::<Token>().is_err(), "{text} was accepted");
    }
}

#[test]
fn a_lease_id_has_a_short_and_a_long_form() {
    let short = LeaseId { shard: 12, token: token(1), grant: None };
    let grant = Some(Grant { epoch: 170, instance: instance(1) });
    for (id, text) in [
        (short.clone(), "12.AQEBAQEBAQEB"),
        (LeaseId { grant, ..short.clone() }, "12.AQEBAQEBAQEB.170.i-00000000000000001"),
        (LeaseId { shard: 0, ..short }, "0.AQEBAQEBAQEB"),
    ] {
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
    }
}

#[test]
fn a_lease_has_one_spelling() {
    for text in [
        "",
        "12",
        "012.AQEBAQEBAQEB",
        "00.AQEBAQEBAQEB",
        "+1.AQEBAQEBAQEB",
        "a.AQEBAQEBAQEB",
        ".AQEBAQEBAQEB",
        "1.AQEBAQEBAQEB.17",
        "1.AQEBAQEBAQEB.017.i-01234567",
        "1.AQEBAQEBAQEB.17.i-1",
        "1.AQEBAQEBAQEB.17.i-01234567.",
        "1.AQEB",
    ] {
        assert!(text.parse::<LeaseId>().is_err(), "{text} was accepted");
    }
}

#[test]
fn a_key_is_kept_and_never_printed() {
    let (secret, digest) = ("0123456789abcdef".repeat(2), "fedcba9876543210".repeat(4));
    for tls_sha256 in [None, Some(digest.as_str())] {
        let key = NodeKey::told(&secret, tls_sha256).expect("it is one");
        assert_eq!(NodeKey::stored(key.bytes()), key);
        assert_eq!((key.secret().as_deref(), key.tls_sha256().as_deref()), (Some(secret.as_str()), tls_sha256));
        assert_eq!(format!("{key:?}"), "***");
    }
    let longest = NodeKey::told(&"ab".repeat(32), None).expect("it is one");
    assert_eq!((longest.secret(), longest.tls_sha256()), (Some("ab".repeat(32)), None), "a long key is no digest");
    assert_eq!(NodeKey::told("", None), Ok(NodeKey::default()));
    assert_eq!((NodeKey::default().secret(), NodeKey::default().tls_sha256()), (None, None));
}

#[test]
fn what_is_no_key_is_refused() {
    let (secret, digest) = ("0123456789abcdef".repeat(2), "fedcba9876543210".repeat(4));
    for bad in ["x", "0", &"0".repeat(30), &"0".repeat(33), &"0".repeat(66), &"A".repeat(32), &"g".repeat(32)] {
        assert!(NodeKey::told(bad, None).is_err(), "{bad} was accepted");
    }
    for bad in ["", "00", &digest[1..], &digest.to_uppercase()] {
        assert!(NodeKey::told(&secret, Some(bad)).is_err(), "{bad} was accepted");
    }
    assert!(NodeKey::told("", Some(&digest)).is_err(), "a certificate without a key was accepted");
}

#[test]
fn names_are_printed_as_they_are() {
    assert_eq!(format!("{0} {0:?}", token(1)), "AQEBAQEBAQEB AQEBAQEBAQEB");
}
