//! The environment variables that `cargo local` reads, and those that it gives to the functions.
//!
//! Rule: a function sees what AWS and the template would set, the caller's own `POOL_…` over the defaults, and nothing else of the
//! caller's environment: a stray `AWS_PROFILE` must not send a local function to a real account.

use std::collections::BTreeMap;

use crate::clock::Clock;

/// Account of everything local.
pub const ACCOUNT_ID: &str = "000000000000";
/// Region of everything local.
pub const REGION: &str = "us-east-1";
/// Unique id of the role that simulated nodes sign with.
pub const NODE_ROLE_ID: &str = "AROALOCALNODEROLE0000";
/// The table's name unless `POOL_TABLE` says another.
pub const TABLE: &str = "ec2-pool";

/// A variable that cannot be used as it is.
#[derive(Debug, thiserror::Error)]
#[error("{name} is `{value}`, but must be a whole number from {least} to {most}")]
pub struct VariableError {
    name: &'static str,
    value: String,
    least: u64,
    most: u64,
}

/// The environment that `cargo local` was started in.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process. What is not UTF-8 is left out.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the environment enters the system here, at its start")]
    pub fn of_this_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable that is set to something.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A whole number, or `default` when the variable is not set.
    ///
    /// # Errors
    /// When it is set to something else than a number in the range.
    pub fn number(&self, name: &'static str, default: u64, least: u64, most: u64) -> Result<u64, VariableError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| VariableError {
            name,
            value: value.to_owned(),
            least,
            most,
        })
    }

    /// Name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        self.get("POOL_TABLE").unwrap_or(TABLE)
    }

    /// What every function is started with. `ec2` has the launch template and the subnets when the simulator made them.
    #[must_use]
    pub fn for_functions(
        &self,
        dynamodb_url: &str,
        ec2_url: &str,
        ec2: Option<&Ec2Variables>,
        clock: Clock,
    ) -> BTreeMap<String, String> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut variables = BTreeMap::from(
            [
                ("RUST_LOG", "info"),
                ("AWS_REGION", REGION),
                ("AWS_DEFAULT_REGION", REGION),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url),
                ("AWS_ENDPOINT_URL_EC2", ec2_url),
                ("POOL_TABLE", TABLE),
                ("POOL_NAME", "local"),
            ]
            .map(owned),
        );
        let passed_on =
            |name: &str| name.starts_with("POOL_") || matches!(name, "RUST_LOG" | "RUST_BACKTRACE" | "PATH");
        let callers = self.0.iter().filter(|(name, _)| passed_on(name));
        variables.extend(callers.map(|(name, value)| (name.clone(), value.clone())));
        // These name what exists only here, so the caller's (of a deployed pool, perhaps) cannot be right.
        variables.extend([("POOL_ACCOUNT_ID", ACCOUNT_ID), ("POOL_NODE_ROLE_ID", NODE_ROLE_ID)].map(owned));
        variables.insert("POOL_LOCAL_CLOCK".to_owned(), clock.variable());
        if let Some(ec2) = ec2 {
            let made = [("POOL_LAUNCH_TEMPLATE_ID", &*ec2.launch_template_id), ("POOL_SUBNETS", &*ec2.subnets)];
            variables.extend(made.map(owned));
        }
        variables
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// What the functions that call EC2 must be told about the simulated one.
#[derive(Debug, Clone)]
pub struct Ec2Variables {
    /// `lt-…`.
    pub launch_template_id: String,
    /// Subnet ids, separated by commas.
    pub subnets: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_get_the_caller_s_policy_and_nothing_else_of_his() {
        let callers = [("POOL_MAX", "3"), ("POOL_ACCOUNT_ID", "123456789012"), ("AWS_PROFILE", "production")];
        let callers: Variables = callers.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let ec2 = Ec2Variables { launch_template_id: "lt-1".to_owned(), subnets: "subnet-1,subnet-2".to_owned() };
        let variables = callers.for_functions("http://d", "http://e", Some(&ec2), Clock::new(5));
        for (name, want) in [
            ("POOL_MAX", Some("3")),
            ("POOL_ACCOUNT_ID", Some(ACCOUNT_ID)),
            ("POOL_TABLE", Some(TABLE)),
            ("POOL_LAUNCH_TEMPLATE_ID", Some("lt-1")),
            ("AWS_ENDPOINT_URL_EC2", Some("http://e")),
            ("AWS_PROFILE", None),
        ] {
            assert_eq!(variables.get(name).map(String::as_str), want, "{name}");
        }
    }

    #[test]
    fn numbers_are_checked() {
        let number = |value: &str| {
            let variables: Variables = [("POOL_HEALTH_PORT".to_owned(), value.to_owned())].into_iter().collect();
            variables.number("POOL_HEALTH_PORT", 3000, 1, 65535).map_err(|error| error.to_string())
        };
        assert_eq!(number("8080"), Ok(8080));
        assert_eq!(number(""), Ok(3000));
        let error = number("70000").expect_err("it is no port");
        assert!(error.contains("POOL_HEALTH_PORT") && error.contains("65535"), "{error}");
    }
}
