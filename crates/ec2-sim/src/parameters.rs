//! A request's form body as a tree of parameters: `LaunchTemplateConfigs.1.Overrides.2.InstanceType=t3.medium`.
//!
//! Rule: this module knows the query protocol's notation and nothing about any action. Whatever arrives becomes a tree
//! or a clear error; limits on count and depth keep a hostile body from growing either.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// More parameters than any request of a pool has; EC2 itself limits a request by its size.
const PARAMETERS_MAX: usize = 4_096;
/// EC2's deepest parameter has about eight levels.
const DEPTH_MAX: usize = 16;

/// One level of the tree: a value, members, or (never in a sound request) both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    value: Option<String>,
    members: BTreeMap<String, Parameters>,
}

impl Parameters {
    /// Reads a form body.
    pub(crate) fn parse(form: &str) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(form)
            .map_err(|error| ApiError::new("MalformedQueryString", format!("The body is not a form: {error}.")))?;
        if pairs.len() > PARAMETERS_MAX {
            return Err(ApiError::new("MalformedQueryString", format!("More than {PARAMETERS_MAX} parameters.")));
        }
        let mut root = Self::default();
        for (name, value) in pairs {
            if name.split('.').count() > DEPTH_MAX {
                return Err(ApiError::new(
                    "MalformedQueryString",
                    format!("A parameter has more than {DEPTH_MAX} levels."),
                ));
            }
            let leaf = name.split('.').fold(&mut root, |at, part| at.members.entry(part.to_owned()).or_default());
            leaf.value = Some(value);
        }
        Ok(root)
    }

    /// The subtree at a dotted path.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |at, part| at.members.get(part))
    }

    /// The value of this very parameter.
    pub(crate) fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// The value at a dotted path. An empty value is as good as none: EC2 treats it so too.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.at(path).and_then(Self::value).filter(|value| !value.is_empty())
    }

    /// The value at a dotted path, or the error EC2 gives without it.
    pub(crate) fn required(&self, path: &str) -> Result<&str, ApiError> {
        self.get(path).ok_or_else(|| ApiError::missing(path))
    }

    /// The members of a list (`Name.1`, `Name.2`, …) in the order of their numbers.
    pub(crate) fn list(&self, path: &str) -> Vec<&Self> {
        self.at(path).map(Self::items).unwrap_or_default()
    }

    /// The members of this parameter that are numbered, in the order of their numbers.
    pub(crate) fn items(&self) -> Vec<&Self> {
        let mut numbered: Vec<(u64, &Self)> =
            self.members.iter().filter_map(|(name, member)| Some((name.parse().ok()?, member))).collect();
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, member)| member).collect()
    }

    /// The values of a list of plain values.
    pub(crate) fn values(&self, path: &str) -> Vec<&str> {
        self.list(path).into_iter().filter_map(Self::value).collect()
    }

    /// A whole number at a dotted path.
    pub(crate) fn number(&self, path: &str) -> Result<Option<u32>, ApiError> {
        self.get(path)
            .map(|text| {
                text.parse().map_err(|_| ApiError::value(text, path, "it must be a whole number, zero or more"))
            })
            .transpose()
    }

    /// A truth value at a dotted path; absent is false.
    pub(crate) fn flag(&self, path: &str) -> Result<bool, ApiError> {
        match self.get(path) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(ApiError::value(text, path, "it must be true or false")),
        }
    }

    /// Stops a request that only asks whether it would succeed. Each action calls this after its checks and before its
    /// effects.
    pub(crate) fn unless_dry_run(&self) -> Result<(), ApiError> {
        if self.flag("DryRun")? {
            return Err(ApiError::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set."));
        }
        Ok(())
    }

    /// These parameters laid over a base: what is named here replaces what the base says under the same top-level name,
    /// as a request's parameters replace its launch template's.
    pub(crate) fn over(&self, base: &Self) -> Self {
        let mut merged = base.clone();
        merged.members.extend(self.members.iter().map(|(name, member)| (name.clone(), member.clone())));
        merged
    }

    /// A copy without some top-level members.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let mut rest = self.clone();
        rest.members.retain(|name, _| !names.contains(&name.as_str()));
        rest
    }

    /// The members by name, for echoing a subtree as XML.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.members.iter().map(|(name, member)| (name.as_str(), member))
    }

    /// A fingerprint of everything in the tree, the same for the same parameters in any order.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        self.feed(&mut hash);
        hash.finalize().to_vec()
    }

    /// Lengths go before texts so that no two trees feed the same bytes.
    fn feed(&self, hash: &mut Sha256) {
        let value = self.value.as_deref().unwrap_or_default();
        hash.update(format!("{}:{value}{}{{", value.len(), self.members.len()));
        for (name, member) in &self.members {
            hash.update(format!("{}:{name}", name.len()));
            member.feed(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    #[test]
    fn lists_are_read_in_the_order_of_their_numbers() {
        let request = Parameters::parse("Id.10=c&Id.2=b&Id.1=a").expect("a form");
        assert_eq!(request.values("Id"), ["a", "b", "c"]);
    }

    #[test]
    fn fingerprint_ignores_order_and_nothing_else() {
        let of = |form: &str| Parameters::parse(form).expect("a form").fingerprint();
        assert_eq!(of("A.1=x&B=y"), of("B=y&A.1=x"));
        for other in ["A.1=x&B=z", "A.2=x&B=y", "A.1=x", "A.1.B=y", "A.1=xB&=y"] {
            assert_ne!(of("A.1=x&B=y"), of(other), "{other}");
        }
    }

    #[test]
    fn hostile_bodies_are_refused() {
        assert!(Parameters::parse(&"a.".repeat(100_000)).is_err());
        assert!(Parameters::parse(&"a=1&".repeat(10_000)).is_err());
        assert!(Parameters::parse("%ff=1").is_ok(), "bytes that are no text become replacement characters");
    }
}
