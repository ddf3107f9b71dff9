//! A shard's item to a [`Shard`] and back.
//!
//! Total in both directions: whatever stands in the table becomes a shard or a [`Damage`] that says where it is wrong.
//! Entries have one-letter names, because every write is billed by the size of the whole item.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, ShardNo, Token, TransferId};
use pool_core::shard::{
    Fate, Intent, Kind, Leaving, Market, Member, Shard, StopPhase, Stopped, Terms, Tombstone, Transfer,
};
use pool_core::time::Timestamp;

use crate::names;

/// The largest count of instances, far above the largest cap. Those of all shards are added up.
const COUNT_MAX: u64 = 1_000_000_000;

/// Characters of the longest whole number: what counts on from there for ever still fits.
const WHOLE_CHARACTERS_MAX: usize = 18;

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// What is wrong with an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(pub String);

/// A shard as an item, whole.
#[must_use]
pub fn encode(shard: &Shard) -> Item {
    let attributes = [
        (names::KEY, text(names::shard_key(shard.number))),
        (names::EPOCH, number(shard.epoch)),
        (names::SEQUENCE, number(shard.sequence)),
        (names::ROOM, number(shard.room)),
        (names::SHARE, number(shard.share)),
        (names::LAYOUT, number(shard.layout)),
        (names::FREE, list(&shard.free, |id| text(id.as_str()))),
        (names::MEMBERS, map(&shard.members, InstanceId::as_str, member)),
        (names::LEASES, map(&shard.leases, Token::as_str, |id| text(id.as_str()))),
        (names::LEASE_EPOCHS, map(&shard.lease_epochs, Token::as_str, |epoch| number(*epoch))),
        (names::LEASE_TERMS, map(&shard.lease_terms, Token::as_str, terms)),
        (names::QUEUE, list(&shard.queue, |token| text(token.as_str()))),
        (names::QUEUE_TERMS, map(&shard.queue_terms, Token::as_str, terms)),
        (names::CLAIMS, map(&shard.claims, Token::as_str, |at| time(*at))),
        (names::BOOTING, map(&shard.booting, InstanceId::as_str, |epoch| number(*epoch))),
        (names::STOPPED, map(&shard.stopped, InstanceId::as_str, stopped)),
        (names::RESETTING, map(&shard.resetting, InstanceId::as_str, |epoch| number(*epoch))),
        (names::LEAVING, map(&shard.leaving, InstanceId::as_str, leaving)),
        (names::INTENTS, map(&shard.intents, LaunchToken::as_str, intent)),
        (names::TRANSFERS, map(&shard.transfers, InstanceId::as_str, transfer)),
        (names::TOMBSTONES, map(&shard.tombstones, String::as_str, tombstone)),
    ];
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The shard that an item says.
///
/// # Errors
/// [`Damage`] when an attribute is missing or is not what this system writes. Attributes it does not know are left aside.
pub fn decode(item: &Item) -> Result<Shard, Damage> {
    let instance = |id: &str| InstanceId::trusted(id);
    let token = |id: &str| Token::trusted(id);
    let launch = |id: &str| LaunchToken::trusted(id);
    let item = Entry { at: "the item", id: None, attributes: item };
    Ok(Shard {
        number: shard_number(&item)?,
        epoch: item.number(names::EPOCH)?,
        sequence: item.number(names::SEQUENCE)?,
        room: item.count(names::ROOM)?,
        share: item.count(names::SHARE)?,
        layout: item.number(names::LAYOUT)?,
        free: item.list(names::FREE, instance)?,
        members: item.map_of(names::MEMBERS, instance, read_member)?,
        leases: item.map(names::LEASES, token, |value| Some(InstanceId::trusted(as_text(value)?)))?,
        lease_epochs: item.map(names::LEASE_EPOCHS, token, as_number)?,
        lease_terms: item.map_of(names::LEASE_TERMS, token, read_terms)?,
        queue: item.list(names::QUEUE, token)?,
        queue_terms: item.map_of(names::QUEUE_TERMS, token, read_terms)?,
        claims: item.map(names::CLAIMS, token, |value| as_number(value).map(Timestamp))?,
        booting: item.map(names::BOOTING, instance, as_number)?,
        stopped: item.map_of(names::STOPPED, instance, read_stopped)?,
        resetting: item.map(names::RESETTING, instance, as_number)?,
        leaving: item.map_of(names::LEAVING, instance, read_leaving)?,
        intents: item.map_of(names::INTENTS, launch, read_intent)?,
        transfers: item.map_of(names::TRANSFERS, instance, read_transfer)?,
        tombstones: item.map_of(names::TOMBSTONES, str::to_owned, read_tombstone)?,
    })
}

fn shard_number(item: &Entry<'_>) -> Result<ShardNo, Damage> {
    let key = item.text(names::KEY)?;
    let number = key.strip_prefix("shard#").and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Damage(format!("{key:?} is not the key of a shard")))
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn node_key(key: &NodeKey) -> AttributeValue {
    AttributeValue::B(Blob::new(key.bytes()))
}

pub(crate) fn number(value: impl ToString + Copy) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn time(at: Timestamp) -> AttributeValue {
    number(at.0)
}

pub(crate) fn entry<const N: usize>(attributes: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn list<T>(values: &[T], write: impl Fn(&T) -> AttributeValue) -> AttributeValue {
    AttributeValue::L(values.iter().map(write).collect())
}

fn map<K, V>(
    values: &BTreeMap<K, V>,
    name: impl Fn(&K) -> &str,
    write: impl Fn(&V) -> AttributeValue,
) -> AttributeValue {
    AttributeValue::M(values.iter().map(|(key, value)| (name(key).to_owned(), write(value))).collect())
}

pub(crate) fn terms(terms: &Terms) -> AttributeValue {
    entry([
        ("o", text(terms.owner.as_str())),
        ("x", time(terms.until)),
        ("h", time(terms.hard_end)),
        ("t", number(terms.ttl_seconds)),
    ])
}

fn read_terms(entry: &Entry<'_>) -> Result<Terms, Damage> {
    Ok(Terms {
        owner: Owner::trusted(entry.text("o")?),
        until: entry.time("x")?,
        hard_end: entry.time("h")?,
        ttl_seconds: entry.number("t")?,
    })
}

pub(crate) fn member(member: &Member) -> AttributeValue {
    entry([
        ("a", text(&member.address)),
        ("k", node_key(&member.key)),
        ("b", number(member.boot_id)),
        ("s", time(member.since)),
        ("n", number(member.served)),
        ("w", kind(&member.kind)),
    ])
}

/// What an instance is, as one string: it is written often and never asked for in an expression.
pub(crate) fn kind(kind: &Kind) -> AttributeValue {
    let Kind { instance_type, zone, market, template_version } = kind;
    let market = match market {
        Market::Spot => "s",
        Market::OnDemand => "o",
    };
    text(format!("{template_version}/{market}/{zone}/{instance_type}"))
}

fn read_member(entry: &Entry<'_>) -> Result<Member, Damage> {
    Ok(Member {
        address: entry.text("a")?.to_owned(),
        key: entry.value("k", |value| value.as_b().ok().map(|bytes| NodeKey::stored(bytes.as_ref())))?,
        boot_id: entry.number("b")?,
        since: entry.time("s")?,
        served: entry.number("n")?,
        kind: read_kind(entry.text("w")?).ok_or_else(|| entry.wrong("w"))?,
    })
}

fn read_kind(text: &str) -> Option<Kind> {
    let mut parts = text.splitn(4, '/');
    Some(Kind {
        template_version: parts.next()?.parse().ok()?,
        market: match parts.next()? {
            "s" => Market::Spot,
            "o" => Market::OnDemand,
            _ => return None,
        },
        zone: parts.next()?.to_owned(),
        instance_type: parts.next()?.to_owned(),
    })
}

pub(crate) fn leaving(leaving: &Leaving) -> AttributeValue {
    entry([("y", text(&leaving.why)), ("d", time(leaving.deadline))])
}

fn read_leaving(entry: &Entry<'_>) -> Result<Leaving, Damage> {
    Ok(Leaving { why: entry.text("y")?.to_owned(), deadline: entry.time("d")? })
}

/// A phase as it stands in an entry.
pub(crate) fn phase(phase: StopPhase) -> AttributeValue {
    text(match phase {
        StopPhase::Stopping => "stopping",
        StopPhase::Stopped => "stopped",
    })
}

pub(crate) fn stopped(stopped: &Stopped) -> AttributeValue {
    entry([("p", phase(stopped.phase)), ("s", time(stopped.since))])
}

fn read_stopped(entry: &Entry<'_>) -> Result<Stopped, Damage> {
    let phase = match entry.text("p")? {
        "stopping" => StopPhase::Stopping,
        "stopped" => StopPhase::Stopped,
        _ => return Err(entry.wrong("p")),
    };
    Ok(Stopped { phase, since: entry.time("s")? })
}

/// The launch is JSON in one string: it is only ever read and written whole.
pub(crate) fn intent(intent: &Intent) -> AttributeValue {
    let launch = serde_json::to_string(&intent.launch).expect("a launch has text keys and no value that JSON lacks");
    entry([("n", number(intent.count)), ("l", text(launch)), ("s", time(intent.since))])
}

fn read_intent(entry: &Entry<'_>) -> Result<Intent, Damage> {
    let launch = serde_json::from_str(entry.text("l")?).map_err(|_| entry.wrong("l"))?;
    let count = entry.count("n")?;
    let count = u64::try_from(count).map_err(|_| entry.wrong("n"))?;
    Ok(Intent { count, launch, since: entry.time("s")? })
}

pub(crate) fn transfer(transfer: &Transfer) -> AttributeValue {
    entry([("t", number(transfer.to)), ("x", text(transfer.id.as_str())), ("s", time(transfer.since))])
}

fn read_transfer(entry: &Entry<'_>) -> Result<Transfer, Damage> {
    Ok(Transfer { to: entry.number("t")?, id: TransferId::trusted(entry.text("x")?), since: entry.time("s")? })
}

pub(crate) fn tombstone(tombstone: &Tombstone) -> AttributeValue {
    let fate = match tombstone.fate {
        Fate::Taken => "taken",
        Fate::Cancelled => "cancelled",
        Fate::Gone => "gone",
        Fate::Doomed => "doomed",
    };
    entry([("w", time(tombstone.written)), ("f", text(fate))])
}

fn read_tombstone(entry: &Entry<'_>) -> Result<Tombstone, Damage> {
    let fate = match entry.text("f")? {
        "taken" => Fate::Taken,
        "cancelled" => Fate::Cancelled,
        "gone" => Fate::Gone,
        "doomed" => Fate::Doomed,
        _ => return Err(entry.wrong("f")),
    };
    Ok(Tombstone { written: entry.time("w")?, fate })
}

/// Some attributes, and where they stand, for the message when one is wrong.
pub(crate) struct Entry<'a> {
    /// Where: the item, or an attribute of it.
    pub(crate) at: &'a str,
    /// Of which entry of that attribute.
    pub(crate) id: Option<&'a str>,
    /// What stands there.
    pub(crate) attributes: &'a Item,
}

impl Entry<'_> {
    pub(crate) fn wrong(&self, name: &str) -> Damage {
        let (dot, id) = self.id.map_or(("", ""), |id| (".", id));
        Damage(format!("{name} in {}{dot}{id} is missing or not as it should be", self.at))
    }

    pub(crate) fn value<T>(&self, name: &str, read: impl FnOnce(&AttributeValue) -> Option<T>) -> Result<T, Damage> {
        self.attributes.get(name).and_then(read).ok_or_else(|| self.wrong(name))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, Damage> {
        self.attributes.get(name).and_then(as_text).ok_or_else(|| self.wrong(name))
    }

    /// A whole number.
    pub(crate) fn number<N: FromStr>(&self, name: &str) -> Result<N, Damage> {
        let is_short = |value: &&AttributeValue| value.as_n().is_ok_and(|digits| digits.len() <= WHOLE_CHARACTERS_MAX);
        self.value(name, |value| Some(value).filter(is_short).and_then(as_number))
    }

    /// A count of instances.
    fn count(&self, name: &str) -> Result<i64, Damage> {
        let count: i64 = self.number(name)?;
        if count.unsigned_abs() <= COUNT_MAX { Ok(count) } else { Err(self.wrong(name)) }
    }

    pub(crate) fn time(&self, name: &str) -> Result<Timestamp, Damage> {
        self.number(name).map(Timestamp)
    }

    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&AttributeValue) -> Option<T>,
    ) -> Result<Option<T>, Damage> {
        self.attributes.get(name).map(|value| read(value).ok_or_else(|| self.wrong(name))).transpose()
    }

    fn list<T>(&self, name: &str, read: impl Fn(&str) -> T) -> Result<Vec<T>, Damage> {
        let values = self.attributes.get(name).and_then(|value| value.as_l().ok()).ok_or_else(|| self.wrong(name))?;
        values.iter().map(|value| as_text(value).map(&read).ok_or_else(|| self.wrong(name))).collect()
    }

    fn map<K: Ord, V>(
        &self,
        name: &str,
        key: impl Fn(&str) -> K,
        read: impl Fn(&AttributeValue) -> Option<V>,
    ) -> Result<BTreeMap<K, V>, Damage> {
        let values = self.attributes.get(name).and_then(|value| value.as_m().ok()).ok_or_else(|| self.wrong(name))?;
        let read = |(id, value): (&String, &AttributeValue)| {
            Ok((key(id), read(value).ok_or_else(|| self.wrong(&format!("{name}.{id}")))?))
        };
        values.iter().map(read).collect()
    }

    fn map_of<K: Ord, V>(
        &self,
        name: &str,
        key: impl Fn(&str) -> K,
        read: impl Fn(&Entry<'_>) -> Result<V, Damage>,
    ) -> Result<BTreeMap<K, V>, Damage> {
        let values = self.attributes.get(name).and_then(|value| value.as_m().ok()).ok_or_else(|| self.wrong(name))?;
        let read = |(id, value): (&String, &AttributeValue)| {
            let attributes = value.as_m().map_err(|_| self.wrong(&format!("{name}.{id}")))?;
            Ok((key(id), read(&Entry { at: name, id: Some(id), attributes })?))
        };
        values.iter().map(read).collect()
    }
}

fn as_text(value: &AttributeValue) -> Option<&str> {
    value.as_s().ok().map(String::as_str)
}

pub(crate) fn as_number<N: FromStr>(value: &AttributeValue) -> Option<N> {
    value.as_n().ok().and_then(|digits| digits.parse().ok())
}
