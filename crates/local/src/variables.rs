//! The environment variables that `cargo local` reads, and those that it gives to the functions.
//!
//! Rule: a function sees what AWS and the template would set, the caller's own `POOL_…` over the defaults, and nothing else of the
//! caller's environment: a stray `AWS_PROFILE` must not send a local function to a real account.

use std::collections::BTreeMap;

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
    pub fn of_this_process() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
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
        value
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| VariableError { name, value: value.to_owned(), least, most })
    }

    /// Name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        self.get("POOL_TABLE").unwrap_or(TABLE)
    }

    /// What every function is started with. `ec2` has the launch template and the subnets when the simulator made them.
    #[must_use]
    pub fn for_functions(&self, dynamodb_url: &str, ec2_url: &str, ec2: Option<&Ec2Variables>) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> = [
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
            ("POOL_ACCOUNT_ID", ACCOUNT_ID),
            ("POOL_NODE_ROLE_ID", NODE_ROLE_ID),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Some(ec2) = ec2 {
            variables.insert("POOL_LAUNCH_TEMPLATE_ID".to_owned(), ec2.launch_template_id.clone());
            variables.insert("POOL_SUBNETS".to_owned(), ec2.subnets.clone());
        }
        let passed_on = |name: &str| name.starts_with("POOL_") || matches!(name, "RUST_LOG" | "RUST_BACKTRACE" | "PATH");
        variables.extend(self.0.iter().filter(|(name, _)| passed_on(name)).map(|(name, value)| (name.clone(), value.clone())));
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
