//! How a function starts: logs, settings, clients. The only place that reads the clock and the environment.
//!
//! The connection to the table is opened during the start, which Lambda does not count as part of the first call.
//!
//! Rule: nothing is looked for that Lambda does not have. It gives region and credentials by variables
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>), so the chains that a laptop needs (profiles,
//! roles to assume, instance metadata) are not even linked.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use pool_core::ids::Token;
use pool_core::time::Timestamp;
use pool_store::Store;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::environment::{Clock, Environment};
use crate::settings::{Ec2Settings, Settings};
use crate::{metrics, trace};

/// The allocator of every function's process, and of the benchmarks that stand for one. The C library's takes a quarter of the
/// time of an acquire and a release (docs/performance.md), which is five times what the pool's own code takes.
pub use mimalloc::MiMalloc as Heap;

/// A started function.
pub struct Boot {
    /// What its handler works with.
    pub environment: Environment,
    /// For the client of EC2.
    pub ec2: SdkConfig,
    variables: Vec<(String, String)>,
}

/// Starts a function.
///
/// # Errors
/// Every variable that is missing or wrong, at once.
pub async fn boot() -> Result<Boot, Error> {
    start_logs();
    let variables = variables();
    let settings = Settings::parse(&variables).inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    metrics::start(&settings.pool)?;
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let service = |name: &str, timeouts: TimeoutConfig| {
        let mut service = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region(&variables))
            .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
            .http_client(http.clone())
            .timeout_config(timeouts);
        service.set_endpoint_url(endpoint(&variables, name));
        service
    };
    let ec2 = service("EC2", timeouts()).build();
    let table = service("DYNAMODB", table_timeouts()).retry_config(table_retries()).build();
    let store = Store::new(pool_store::Client::new(&table), &settings.table);
    let environment = Environment::new(settings, store, clock(&variables), Arc::new(random));
    if let Err(error) = environment.reload_control().await {
        // The first request tries again and tells its caller.
        tracing::warn!(%error, "could not read the layout during the start");
    }
    Ok(Boot { environment, ec2, variables })
}

impl Boot {
    /// The variables of functions that call EC2.
    ///
    /// # Errors
    /// Every variable that is missing or wrong, at once.
    pub fn ec2_settings(&self) -> Result<Ec2Settings, Error> {
        Ok(Ec2Settings::parse(&self.variables).inspect_err(|error| tracing::error!(%error, "cannot start"))?)
    }
}

/// How long a call of EC2 may take: a fleet takes some seconds to launch. Without a limit a connection that died
/// silently would take the whole invocation with it.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    let limits = TimeoutConfig::builder().connect_timeout(Duration::from_secs(2));
    limits.operation_attempt_timeout(Duration::from_secs(20)).build()
}

/// How long a request to the table may take, which is a few milliseconds when all is well; a caller is answered before
/// API Gateway gives up.
#[must_use]
pub fn table_timeouts() -> TimeoutConfig {
    let limits = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1));
    limits.operation_attempt_timeout(Duration::from_secs(2)).operation_timeout(Duration::from_secs(8)).build()
}

/// How often and when a request to the table is sent again: three times in all, after pauses of up to 50 and 100 ms. The
/// SDK's own pauses begin with a second, and somebody waits.
#[must_use]
pub fn table_retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(50))
}

/// Where the variables say the region.
fn region(variables: &[(String, String)]) -> Option<Region> {
    let named = |name| value(variables, name).map(Region::new);
    named("AWS_REGION").or_else(|| named("AWS_DEFAULT_REGION"))
}

/// Where a service is, if the variables say that it is not where AWS has it
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>).
fn endpoint(variables: &[(String, String)], service: &str) -> Option<String> {
    let of_service = value(variables, &format!("AWS_ENDPOINT_URL_{service}"));
    of_service.or_else(|| value(variables, "AWS_ENDPOINT_URL"))
}

fn value(variables: &[(String, String)], name: &str) -> Option<String> {
    variables.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.clone())
}

/// Serves requests of the API with `handle` until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn serve_api<F, R>(handle: F) -> Result<(), Error>
where
    F: Fn(ApiGatewayV2httpRequest) -> R,
    R: Future<Output = ApiGatewayV2httpResponse>,
{
    lambda_runtime::run(service_fn(|LambdaEvent { payload, context, .. }| {
        let payload: ApiGatewayV2httpRequest = payload;
        let trace_id = payload.request_context.request_id.clone();
        let work = Box::pin(handle(payload));
        async move { Ok::<_, Error>(trace::invocation(trace_id, &context, work).await) }
    }))
    .await
}

/// Serves events for which nobody waits with `handle` until Lambda ends the process.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn serve_events<E, F, R>(handle: F) -> Result<(), Error>
where
    E: DeserializeOwned,
    F: Fn(E) -> R,
    R: Future<Output = Result<(), Error>>,
{
    lambda_runtime::run(service_fn(|LambdaEvent { payload, context, .. }| {
        let payload: Value = payload;
        // EventBridge gives each of its events an id.
        let trace_id = payload["id"].as_str().map(str::to_owned);
        let work = serde_json::from_value(payload).map(&handle);
        async move { trace::invocation(trace_id, &context, Box::pin(async { work?.await })).await }
    }))
    .await
}

/// The targets of this project's own lines.
const OWN_TARGETS: [&str; 9] =
    ["acquire", "on_instance_state_change", "operate", "pool_", "reap_idle", "register", "release", "scale", "status"];

/// Which lines are logged, by `RUST_LOG`: a level, `info` when not given. More than `info` is for our own lines only,
/// since the SDK and the Lambda runtime would log requests and answers as they are, with node keys and tokens.
fn log_filter(wanted: &str) -> Targets {
    // An empty text would be read as `error`.
    let wanted = if wanted.is_empty() { "info" } else { wanted };
    let level: LevelFilter = wanted.parse().unwrap_or(LevelFilter::INFO);
    Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(OWN_TARGETS.map(|target| (target, level)))
}

/// What is logged, and how: JSON lines, of which `wanted` (a level) says which.
pub fn log_lines<W>(wanted: &str, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    tracing_subscriber::registry().with(log_filter(wanted)).with(lines.with_writer(writer))
}

/// Logs to standard output, where Lambda takes the lines from.
#[expect(clippy::disallowed_methods, reason = "the start is where the environment is read")]
fn start_logs() {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    // A second start in one process, as in a test, keeps the first subscriber.
    let _already_started = log_lines(&wanted, std::io::stdout).try_init();
}

#[expect(clippy::disallowed_methods, reason = "the start is where the environment is read")]
fn variables() -> Vec<(String, String)> {
    std::env::vars().collect()
}

/// The clock of the function: the wall's, unless `POOL_LOCAL_CLOCK` makes it faster. `cargo local` sets that for
/// `--time-scale`, as the Unix milliseconds at which its time began and a factor: `1795464962000x60`.
fn clock(variables: &[(String, String)]) -> Clock {
    let told = variables.iter().find(|(name, _)| name == "POOL_LOCAL_CLOCK");
    let faster = told.and_then(|(_, value)| {
        let (started_ms, factor) = value.split_once('x')?;
        Some((started_ms.parse::<u64>().ok()?, factor.parse::<u64>().ok()?))
    });
    match faster {
        None => Arc::new(|| Timestamp(wall_ms() / 1_000)),
        Some((started_ms, factor)) => {
            let passed_ms = move || wall_ms().saturating_sub(started_ms).saturating_mul(factor);
            Arc::new(move || Timestamp(started_ms.saturating_add(passed_ms()) / 1_000))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that is passed on as a value")]
fn wall_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn random() -> [u8; Token::BYTES] {
    let mut bytes = [0; Token::BYTES];
    getrandom::fill(&mut bytes).expect("the operating system's random source works, or nothing is safe");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn the_local_clock_begins_where_it_is_told_and_passes_faster() {
        let tells = |text: &str| clock(&[("POOL_LOCAL_CLOCK".to_owned(), text.to_owned())])().0;
        let wall = clock(&[])().0;
        assert!(tells("1000000x1000000") > 1_000_000 * wall / 1_000, "it passes faster");
        for text in ["", "soon", "x", "99999999999999999999999x2", "1000"] {
            assert!(tells(text).abs_diff(wall) < 60, "{text:?} is no clock, so the wall's is told");
        }
        assert_eq!(tells(&format!("{}x60", u64::MAX)), u64::MAX / 1_000, "what is yet to begin stands still");
    }

    #[test]
    fn region_and_endpoints_are_those_of_the_variables() {
        let variables = |told: &[(&str, &str)]| {
            told.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        };
        let named = |told: &[(&str, &str)]| region(&variables(told)).map(|region| region.to_string());
        assert_eq!(named(&[("AWS_DEFAULT_REGION", "eu-west-1")]).as_deref(), Some("eu-west-1"));
        assert_eq!(named(&[("AWS_DEFAULT_REGION", "a"), ("AWS_REGION", "b")]).as_deref(), Some("b"));
        assert_eq!(named(&[("AWS_REGION", "")]), None);
        let told = variables(&[("AWS_ENDPOINT_URL", "http://all"), ("AWS_ENDPOINT_URL_EC2", "http://ec2")]);
        assert_eq!(endpoint(&told, "EC2").as_deref(), Some("http://ec2"));
        assert_eq!(endpoint(&told, "DYNAMODB").as_deref(), Some("http://all"));
        assert_eq!(endpoint(&[], "EC2"), None);
    }

    #[test]
    fn requests_and_answers_of_others_are_never_logged() {
        for wanted in ["trace", "debug", "aws_smithy_runtime=trace", "nonsense", ""] {
            let filter = log_filter(wanted);
            for target in ["aws_smithy_runtime::client::http", "lambda_runtime::layers::trace", "hyper::proto"] {
                assert!(!filter.would_enable(target, &Level::DEBUG), "{wanted}: {target}");
            }
            assert!(filter.would_enable("pool_function::steps", &Level::INFO), "{wanted}");
        }
        assert!(log_filter("debug").would_enable("pool_function::steps", &Level::DEBUG));
        assert!(!log_filter("error").would_enable("lambda_runtime", &Level::INFO));
    }
}
