//! The tags that every instance of a pool bears from its launch on. They are how an instance is found again when the
//! record of its launch was lost.

use aws_sdk_ec2::types::Tag;

/// The pool that an instance belongs to. Permissions hang on it too.
pub const POOL: &str = "ec2-pool:pool";
/// The shard that launched it.
pub const SHARD: &str = "ec2-pool:shard";
/// The token of its launch.
pub const LAUNCH: &str = "ec2-pool:launch";
/// How many sessions an instance serves, where it is more than one: what it was launched for, whatever the policy says since.
pub const SESSIONS: &str = "ec2-pool:sessions";
/// What EC2 itself writes on an instance that came from a launch template:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/launch-instances-from-launch-template.html>.
pub(crate) const TEMPLATE_VERSION: &str = "aws:ec2launchtemplate:version";

pub(crate) fn tag(key: &str, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The value of a tag.
pub(crate) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}
