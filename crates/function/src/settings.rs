//! What the deployment tells a function by variables, besides the policy.

use pool_core::policy::{Policy, PolicyErrors};

/// The longest pool name: it is part of every launch token, and EC2 allows 64 characters for one.
const NAME_MAX: usize = 24;

/// Variables of every function. All are required but the pool's name, which is `default` when not given.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `POOL_TABLE`: the table.
    pub table: String,
    /// `POOL_NAME`: the pool's name, also the value of the tag `ec2-pool:pool`.
    pub pool: String,
    /// `POOL_ACCOUNT_ID`: the account whose node role is believed.
    pub account_id: String,
    /// `POOL_NODE_ROLE_ID`: unique id of the instances' role.
    pub node_role_id: String,
    /// The policy.
    pub policy: Policy,
}

/// Variables of the functions that call EC2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Settings {
    /// `POOL_LAUNCH_TEMPLATE_ID`.
    pub launch_template_id: String,
    /// `POOL_SUBNETS`, at most one in a zone.
    pub subnets: Vec<String>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn parse(variables: &[(String, String)]) -> Result<Self, PolicyErrors> {
        let mut errors = Vec::new();
        let policy =
            Policy::parse(variables.iter().map(|(name, value)| (name, value))).map_err(|found| errors.extend(found.0));
        let pool = get(variables, "POOL_NAME").unwrap_or_else(|| "default".to_owned());
        let well_formed = pool.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if pool.len() > NAME_MAX || !well_formed {
            errors.push(format!("POOL_NAME = {pool:?}: has at most {NAME_MAX} of a-z, 0-9 and -"));
        }
        let mut required = |name: &str| required(variables, name, &mut errors);
        let table = required("POOL_TABLE");
        let account_id = required("POOL_ACCOUNT_ID");
        let node_role_id = required("POOL_NODE_ROLE_ID");
        match policy {
            Ok(policy) if errors.is_empty() => Ok(Self { table, pool, account_id, node_role_id, policy }),
            _ => Err(PolicyErrors(errors)),
        }
    }
}

impl Ec2Settings {
    /// Reads them.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn parse(variables: &[(String, String)]) -> Result<Self, PolicyErrors> {
        let mut errors = Vec::new();
        let launch_template_id = required(variables, "POOL_LAUNCH_TEMPLATE_ID", &mut errors);
        let subnets = required(variables, "POOL_SUBNETS", &mut errors);
        let subnets: Vec<String> = subnets.split(',').map(|subnet| subnet.trim().to_owned()).collect();
        if !subnets.iter().all(|subnet| subnet.starts_with("subnet-")) {
            errors.push(format!("POOL_SUBNETS = {:?}: is a list such as subnet-0aaa,subnet-0bbb", subnets.join(",")));
        }
        if errors.is_empty() { Ok(Self { launch_template_id, subnets }) } else { Err(PolicyErrors(errors)) }
    }
}

fn get(variables: &[(String, String)], name: &str) -> Option<String> {
    let (_, value) = variables.iter().find(|(known, _)| known == name)?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn required(variables: &[(String, String)], name: &str, errors: &mut Vec<String>) -> String {
    get(variables, name).unwrap_or_else(|| {
        errors.push(format!("{name} is not set"));
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_named_at_once() {
        let variables = [("POOL_NAME", "Big Pool"), ("POOL_MAX", "0")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let errors = Settings::parse(&variables).expect_err("wrong").to_string();
        for name in ["POOL_NAME", "POOL_MAX", "POOL_TABLE", "POOL_ACCOUNT_ID", "POOL_NODE_ROLE_ID"] {
            assert!(errors.contains(name), "{name} is missing in {errors}");
        }
        let errors = Ec2Settings::parse(&[]).expect_err("wrong").to_string();
        assert!(errors.contains("POOL_LAUNCH_TEMPLATE_ID") && errors.contains("POOL_SUBNETS"));
    }
}
