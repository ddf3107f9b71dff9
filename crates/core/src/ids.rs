//! The names of things, each a type of its own, so that a token cannot be passed where an instance is meant.
//!
//! Whatever comes from outside is parsed here, once; a value that exists is valid. They are kept without an allocation: a
//! shard has a hundred of them, each answer of the table brings one, and plans compare those of a whole pool.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Why a name from outside was not accepted; the text tells its sender what a right one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadId(pub &'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Takes a name that this system itself wrote earlier; what comes from outside is parsed instead.
            #[must_use]
            pub fn trusted(text: impl Into<CompactString>) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An EC2 instance id, `i-` and 8 or 17 hexadecimal digits. Where an instance serves several sessions at a time, each has a
    /// slot of it, which is an instance to everybody but EC2: the first is named like the instance, the others have `-2` to `-16`
    /// behind it.
    InstanceId
);
text_id!(
    /// What names a request for a lease, before and after it is granted: 9 bytes in base64url, 12 characters.
    Token
);
text_id!(
    /// Who asks, as a 16-byte hash of the caller's unique id, 22 characters. The hash keeps the item small and the
    /// caller's identity out of the table.
    Owner
);
text_id!(
    /// The client token of one launch, also the key of its intent and the value of the tag `ec2-pool:launch`. At most
    /// 64 characters, EC2's limit for a `ClientToken`.
    LaunchToken
);
text_id!(
    /// One move of an instance from a shard to another.
    TransferId
);

impl FromStr for InstanceId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let named = text.strip_prefix("i-").unwrap_or_default();
        let (digits, slot) = named.split_once('-').map_or((named, None), |(digits, slot)| (digits, Some(slot)));
        let is_slot = |slot: &str| (2..=Self::SLOTS_MAX).any(|number| slot == number.to_string());
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if matches!(digits.len(), 8 | 17) && hexadecimal && slot.is_none_or(is_slot) {
            Ok(Self(text.into()))
        } else {
            Err(BadId("an instance id is \"i-\" followed by 8 or 17 hexadecimal digits, like i-0123456789abcdef0"))
        }
    }
}

impl InstanceId {
    /// Sessions that an instance serves at a time, at most.
    pub const SLOTS_MAX: u64 = 16;

    /// What EC2 calls the instance that this is, or is a slot of.
    #[must_use]
    pub fn machine(&self) -> Self {
        match self.slot_at() {
            Some(at) => Self(self.0[..at].into()),
            None => self.clone(),
        }
    }

    /// Whether this is the first slot, which every instance has.
    #[must_use]
    pub fn is_first_slot(&self) -> bool {
        self.slot_at().is_none()
    }

    /// The slots of this instance, the first one being itself.
    pub fn slots(&self, sessions: u64) -> impl Iterator<Item = Self> + use<> {
        let machine = self.machine();
        (1..=sessions.max(1)).map(move |number| match number {
            1 => machine.clone(),
            _ => Self(compact_str::format_compact!("{machine}-{number}")),
        })
    }

    /// Where the number of the slot begins, with its hyphen.
    fn slot_at(&self) -> Option<usize> {
        const PREFIX: usize = "i-".len();
        self.0.get(PREFIX..)?.find('-').map(|at| PREFIX + at)
    }
}

impl Token {
    /// Bytes of a token; 72 bits keep chance and guessing out.
    pub const BYTES: usize = 9;

    /// A token out of bytes that the caller drew at random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(BASE64URL_NOPAD.encode(&bytes).into())
    }

    /// The one token of this owner's idempotency key, so that a repeated request meets its own lease.
    #[must_use]
    pub fn of_key(owner: &Owner, idempotency_key: &str) -> Self {
        let digest =
            Sha256::new().chain_update(owner.as_str()).chain_update([0]).chain_update(idempotency_key).finalize();
        Self(BASE64URL_NOPAD.encode(&digest[..Self::BYTES]).into())
    }
}

impl FromStr for Token {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match BASE64URL_NOPAD.decode(text.as_bytes()) {
            Ok(bytes) if bytes.len() == Self::BYTES => Ok(Self(text.into())),
            _ => Err(BadId("the token in a lease id has 12 characters of A-Z, a-z, 0-9, - and _")),
        }
    }
}

impl Owner {
    /// The owner behind a unique id such as `AROAEXAMPLE` or `AIDAEXAMPLE`.
    #[must_use]
    pub fn of(unique_id: &str) -> Self {
        Self(BASE64URL_NOPAD.encode(&Sha256::digest(unique_id)[..16]).into())
    }
}

/// What callers know a node by: the key that it made for its access tokens, and the SHA-256 of its certificate if it speaks
/// TLS. Empty until the node said that it is ready. The key is a secret, so all of it prints as `***`.
///
/// It is kept as it is stored, since every write is billed by the size of the item: the digest if there is one, then the
/// key. The length tells whether there is one.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct NodeKey(Box<[u8]>);

/// Lengths of a node's key, in bytes: 128 bits at least.
const NODE_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=32;
/// Length of a SHA-256.
const DIGEST_BYTES: usize = 32;

impl NodeKey {
    /// What a node says of itself, both in lower-case hexadecimal; an empty key is none.
    ///
    /// # Errors
    /// When either has another length or other digits.
    pub fn told(key: &str, tls_sha256: Option<&str>) -> Result<Self, BadId> {
        let secret = HEXLOWER.decode(key.as_bytes()).ok();
        let secret = secret.filter(|secret| secret.is_empty() || NODE_KEY_BYTES.contains(&secret.len()));
        let secret = secret.ok_or(BadId("key has 32 to 64 lower-case hexadecimal digits, an even number of them"))?;
        let Some(digest) = tls_sha256 else { return Ok(Self(secret.into())) };
        let digest = HEXLOWER.decode(digest.as_bytes()).ok().filter(|digest| digest.len() == DIGEST_BYTES);
        let digest = digest.ok_or(BadId("tls_sha256 has 64 lower-case hexadecimal digits"))?;
        if secret.is_empty() {
            return Err(BadId("tls_sha256 comes with a key"));
        }
        Ok(Self([digest, secret].concat().into()))
    }

    /// What the table has.
    #[must_use]
    pub fn stored(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// What the table is to have.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret itself in hexadecimal, to sign with; `None` while there is none.
    #[must_use]
    pub fn secret(&self) -> Option<String> {
        let (_, secret) = self.parts();
        (!secret.is_empty()).then(|| HEXLOWER.encode(secret))
    }

    /// The SHA-256 of the node's certificate in hexadecimal; `None` when it speaks plain HTTP.
    #[must_use]
    pub fn tls_sha256(&self) -> Option<String> {
        self.parts().0.map(|digest| HEXLOWER.encode(digest))
    }

    fn parts(&self) -> (Option<&[u8]>, &[u8]) {
        match self.0.split_at_checked(DIGEST_BYTES) {
            Some((digest, secret)) if NODE_KEY_BYTES.contains(&secret.len()) => (Some(digest), secret),
            _ => (None, &self.0),
        }
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Number of a shard, counted from 0.
pub type ShardNo = u32;

/// Grows by one in every transition of a shard; the epoch of a grant is the lease's fencing token.
pub type Epoch = u64;

/// Digits of a shard's number in a lease id.
const SHARD_DIGITS_MAX: usize = 9;
/// Digits of an epoch in a lease id.
const EPOCH_DIGITS_MAX: usize = 19;

/// A lease as its holder names it: `shard.token` while it waits, `shard.token.epoch.instance` once granted.
///
/// The long form changes with every grant, so that a late release of an earlier lease under the same token cannot end
/// the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseId {
    /// The home shard, where the lease lives and ends.
    pub shard: ShardNo,
    /// The request's token.
    pub token: Token,
    /// Which grant is meant, if the holder knows.
    pub grant: Option<Grant>,
}

/// One instance under one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The epoch of the grant.
    pub epoch: Epoch,
    /// The instance that was granted.
    pub instance: InstanceId,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.shard, self.token)?;
        match &self.grant {
            Some(grant) => write!(f, ".{}.{}", grant.epoch, grant.instance),
            None => Ok(()),
        }
    }
}

impl FromStr for LeaseId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let form =
            BadId("a lease id is the lease_id of an answer of this API, like 0.AbCdEfGhIjKl.17.i-0123456789abcdef0");
        let mut parts = text.split('.');
        let shard = parts.next().and_then(|text| short::<ShardNo>(text, SHARD_DIGITS_MAX)).ok_or(form.clone())?;
        let token = parts.next().ok_or(form.clone())?.parse()?;
        let grant = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(epoch), Some(instance)) => {
                Some(Grant { epoch: short(epoch, EPOCH_DIGITS_MAX).ok_or(form.clone())?, instance: instance.parse()? })
            }
            (Some(_), None) => return Err(form),
        };
        if parts.next().is_some() { Err(form) } else { Ok(Self { shard, token, grant }) }
    }
}

/// [`number`] with so many digits at most: what fits for certain, so that the documented pattern of a lease id is exact.
fn short<N: FromStr>(text: &str, digits_max: usize) -> Option<N> {
    if text.len() <= digits_max { number(text) } else { None }
}

/// A number in the one spelling that this system writes, so that one lease has one name: no sign, no leading zero.
pub(crate) fn number<N: FromStr>(text: &str) -> Option<N> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_ids_survive_the_round_trip() {
        for text in ["0.AbCdEfGhIjKl", "12.AbCdEfGhIj_-.17.i-0123456789abcdef0"] {
            assert_eq!(text.parse::<LeaseId>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            ".",
            "0",
            "0.",
            "x.AbCdEfGhIjKl",
            "+0.AbCdEfGhIjKl",
            "00.AbCdEfGhIjKl",
            "0.AbCdEfGhIjKl.",
            "0.AbCdEfGhIjKl.1",
            "0.AbCdEfGhIjKl.1.i-1",
            "0.AbCdEfGhIjKl.1.i-0123456789abcdef0.x",
            "0.short",
            "0.AbCdEfGhIjK!",
            "4294967296.AbCdEfGhIjKl",
            "1000000000.AbCdEfGhIjKl",
            "0.AbCdEfGhIjKl.10000000000000000000.i-0123456789abcdef0",
        ] {
            assert!(text.parse::<LeaseId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_key_names_one_token_for_each_owner() {
        let (ann, bob) = (Owner::of("AROAANN"), Owner::of("AROABOB"));
        assert_eq!(Token::of_key(&ann, "k"), Token::of_key(&ann, "k"));
        assert_ne!(Token::of_key(&ann, "k"), Token::of_key(&bob, "k"));
        assert_ne!(Token::of_key(&ann, "k"), Token::of_key(&ann, "l"));
    }

    #[test]
    fn instance_ids_are_those_of_ec2() {
        assert!("i-0123456789abcdef0".parse::<InstanceId>().is_ok());
        assert!("i-01234567".parse::<InstanceId>().is_ok());
        assert!("i-01234567-2".parse::<InstanceId>().is_ok());
        assert!("i-0123456789abcdef0-16".parse::<InstanceId>().is_ok());
        for bad in ["i-01234567-", "i-01234567-1", "i-01234567-17", "i-01234567-02", "i-01234567-2-2", "i-01234567-x"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} was accepted");
        }
        for bad in ["", "i-", "i-0123456789ABCDEF0", "x-01234567", "i-0123456", "i-01234567é"] {
            assert!(bad.parse::<InstanceId>().is_err(), "{bad:?} was accepted");
        }
    }
}
