//! A policy file: the template's parameters in snake case, and what the simulation assumes around them.
//!
//! The values become the variables that the template makes of its parameters, and `Policy::parse` judges them, so that
//! here and in a deployment the same values are right and the same are wrong.

use std::ops::Range;
use std::path::Path;

use pool_core::policy::{Policy, PolicyErrors};
use serde::Deserialize;
use toml::Spanned;

use super::baseline::{Fixed, TargetTracking};
use super::model::Model;
use super::{BadFile, BadInput};

/// One thing to simulate: a policy, who follows it, and the world around.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// How reports call it.
    pub name: String,
    /// Who decides how many instances there are.
    pub kind: Kind,
    /// The policy.
    pub policy: Policy,
    /// How long callers are ready to wait.
    pub wait_seconds: u64,
    /// The world around.
    pub model: Model,
}

/// Who decides how many instances there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// The plan functions of this pool.
    Pool,
    /// Nobody: always the same number.
    Fixed(Fixed),
    /// A target utilisation, as EC2 Auto Scaling follows it.
    TargetTracking(TargetTracking),
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    #[default]
    Pool,
    Fixed,
    TargetTracking,
}

macro_rules! policy_file {
    ($($key:ident $variable:literal),* $(,)?) => {
        /// The file as it is written.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            name: Option<String>,
            #[serde(default)]
            kind: KindName,
            wait_seconds: Option<Spanned<u64>>,
            model: Option<Spanned<Model>>,
            fixed: Option<Spanned<Fixed>>,
            target_tracking: Option<Spanned<TargetTracking>>,
            $($key: Option<Spanned<serde_json::Value>>,)*
        }

        /// Each key with its variable.
        const PARAMETERS: &[(&str, &str)] = &[$((stringify!($key), $variable)),*];

        impl Written {
            /// The parameters that are given, as variables.
            fn variables(&self) -> Vec<(&'static str, String)> {
                let mut given = Vec::new();
                $(if let Some(value) = &self.$key {
                    given.push(($variable, as_variable(value.get_ref())));
                })*
                given
            }

            /// Where a parameter is given.
            fn span(&self, variable: &str) -> Option<Range<usize>> {
                $(if variable == $variable {
                    return self.$key.as_ref().map(Spanned::span);
                })*
                None
            }
        }
    };
}

policy_file! {
    max_instances "POOL_MAX",
    min_instances "POOL_MIN",
    min_available "POOL_MIN_AVAILABLE",
    lease_ttl_seconds "POOL_LEASE_TTL_SECONDS",
    lease_ttl_max_seconds "POOL_LEASE_TTL_MAX_SECONDS",
    queue_max "POOL_QUEUE_MAX",
    wait_max_seconds "POOL_WAIT_MAX_SECONDS",
    claim_seconds "POOL_CLAIM_SECONDS",
    shard_size "POOL_SHARD_SIZE",
    endpoint_address "POOL_ENDPOINT_ADDRESS",
    removal_budget_percent "POOL_REMOVAL_BUDGET_PERCENT",
    reconcile_grace_seconds "POOL_RECONCILE_GRACE_SECONDS",
    boot_failure_limit "POOL_BOOT_FAILURE_LIMIT",
    offering_cooldown_seconds "POOL_OFFERING_COOLDOWN_SECONDS",
    idle_threshold_minutes "POOL_IDLE_THRESHOLD_MINUTES",
    boot_deadline_seconds "POOL_BOOT_DEADLINE_SECONDS",
    health_port "POOL_HEALTH_PORT",
    health_path "POOL_HEALTH_PATH",
    health_attempts "POOL_HEALTH_ATTEMPTS",
    health_interval_seconds "POOL_HEALTH_INTERVAL_SECONDS",
    heartbeat_seconds "POOL_HEARTBEAT_SECONDS",
    heartbeat_misses "POOL_HEARTBEAT_MISSES",
    instance_types "POOL_INSTANCE_TYPES",
    on_demand_base "POOL_ON_DEMAND_BASE",
    spot_percent "POOL_SPOT_PERCENT",
    stopped_size "POOL_STOPPED_SIZE",
    scale_out_cpu_percent "POOL_SCALE_OUT_CPU_PERCENT",
    scale_out_memory_percent "POOL_SCALE_OUT_MEMORY_PERCENT",
    scale_out_period_seconds "POOL_SCALE_OUT_PERIOD_SECONDS",
    scale_out_cooldown_seconds "POOL_SCALE_OUT_COOLDOWN_SECONDS",
    scale_in_cooldown_seconds "POOL_SCALE_IN_COOLDOWN_SECONDS",
    schedule "POOL_SCHEDULE",
    after_release "POOL_AFTER_RELEASE",
    max_leases_per_instance "POOL_MAX_LEASES_PER_INSTANCE",
    max_age_hours "POOL_MAX_AGE_HOURS",
    sessions_per_instance "POOL_SESSIONS_PER_INSTANCE",
}

impl Scenario {
    /// The policy with all its defaults.
    ///
    /// # Errors
    /// None, as long as the defaults are in their ranges.
    pub fn by_default() -> Result<Self, BadFile> {
        Self::parse(Path::new("defaults"), "")
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// Names the line and the key of all that is wrong.
    pub fn read(path: &Path) -> Result<Self, BadFile> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            BadFile(vec![BadInput {
                file: path.to_owned(),
                line: 0,
                field: "file".to_owned(),
                problem: error.to_string(),
            }])
        })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a policy file; `path` is how errors and reports call it.
    ///
    /// # Errors
    /// Names the line and the key of all that is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BadFile> {
        let file = Source { path, text };
        let written: Written = toml::from_str(text).map_err(|error| file.not_toml(&error))?;
        let mut problems = Vec::new();
        let policy =
            Policy::parse(written.variables()).map_err(|errors| file.bad_policy(&written, &errors, &mut problems));
        if policy.as_ref().is_ok_and(|policy| policy.sessions_per_instance > 1) {
            let problem = "the what-if knows instances of one session; leave it at 1".to_owned();
            let offset = written.span("POOL_SESSIONS_PER_INSTANCE").map_or(0, |span| span.start);
            problems.push(file.bad(offset, "sessions_per_instance", problem));
        }
        let (model, span) = written
            .model
            .as_ref()
            .map_or((Model::default(), None), |model| (model.get_ref().clone(), Some(model.span())));
        for (key, problem) in model.problems() {
            problems.push(file.in_section("model", key, span.as_ref(), problem));
        }
        let kind = file.kind(&written, &mut problems);
        match (policy, kind) {
            (Ok(policy), Some(kind)) if problems.is_empty() => {
                let wait_seconds = written.wait_seconds.map_or(policy.wait_max_seconds, Spanned::into_inner);
                let stem = || path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
                let name = written.name.unwrap_or_else(stem);
                Ok(Self { name, kind, wait_seconds: wait_seconds.min(policy.wait_max_seconds), policy, model })
            }
            _ => Err(BadFile(problems)),
        }
    }
}

/// A parameter's value as the template would pass it on.
fn as_variable(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) if items.iter().all(serde_json::Value::is_string) && !items.is_empty() => {
            items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// The file that errors are about.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn bad(&self, offset: usize, field: &str, problem: String) -> BadInput {
        let line = self.text[..offset.min(self.text.len())].matches('\n').count() + 1;
        BadInput { file: self.path.to_owned(), line, field: field.to_owned(), problem }
    }

    fn not_toml(&self, error: &toml::de::Error) -> BadFile {
        let offset = error.span().map_or(0, |span| span.start);
        let start = self.text[..offset.min(self.text.len())].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        let key = line.split('=').next().unwrap_or_default().trim();
        let field = if key.is_empty() { "file" } else { key };
        BadFile(vec![self.bad(offset, field, error.message().to_owned())])
    }

    /// The policy's own errors, in the file's words.
    fn bad_policy(&self, written: &Written, errors: &PolicyErrors, problems: &mut Vec<BadInput>) {
        for error in &errors.0 {
            let named = PARAMETERS.iter().filter(|(_, variable)| is_named(error, variable));
            let (key, variable) = named.min_by_key(|(_, variable)| error.find(variable)).copied().unwrap_or_default();
            let others = PARAMETERS.iter().filter(|(_, other)| is_named(error, other));
            let spans = std::iter::once(variable).chain(others.map(|(_, other)| *other));
            let offset = spans.filter_map(|variable| written.span(variable)).map(|span| span.start).next().unwrap_or(0);
            let mut problem = error.clone();
            let mut by_length: Vec<_> = PARAMETERS.iter().collect();
            by_length.sort_by_key(|(_, variable)| std::cmp::Reverse(variable.len()));
            for (key, variable) in by_length {
                problem = problem.replace(variable, key);
            }
            let problem =
                problem.strip_prefix(key).map_or(problem.as_str(), |rest| rest.trim_start_matches([' ', ':', '=']));
            problems.push(self.bad(offset, key, problem.to_owned()));
        }
    }

    fn in_section(&self, section: &str, key: &str, span: Option<&Range<usize>>, problem: String) -> BadInput {
        let start = span.map_or(0, |span| span.start);
        let offset = self.text[start..].find(key).map_or(start, |found| start + found);
        self.bad(offset, &format!("{section}.{key}"), problem)
    }

    fn kind(&self, written: &Written, problems: &mut Vec<BadInput>) -> Option<Kind> {
        let offset = self.text.find("kind").unwrap_or(0);
        let kind = match written.kind {
            KindName::Pool => Kind::Pool,
            KindName::Fixed => {
                let Some(fixed) = &written.fixed else {
                    problems.push(self.bad(offset, "fixed", "kind = \"fixed\" needs [fixed] instances = N".to_owned()));
                    return None;
                };
                Kind::Fixed(*fixed.get_ref())
            }
            KindName::TargetTracking => {
                let target = written.target_tracking.as_ref();
                let (target, span) = target.map_or_else(Default::default, |it| (*it.get_ref(), Some(it.span())));
                if !(1.0..=100.0).contains(&target.percent) {
                    let problem = format!("{} is not from 1 to 100", target.percent);
                    problems.push(self.in_section("target_tracking", "percent", span.as_ref(), problem));
                }
                Kind::TargetTracking(target)
            }
        };
        Some(kind)
    }
}

/// Whether an error is about a variable, and not about one whose name only begins so.
fn is_named(error: &str, variable: &str) -> bool {
    error.match_indices(variable).any(|(at, _)| {
        let next = error[at + variable.len()..].bytes().next();
        !next.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}
