//! What the control plane costs: the tables of `README.md` and `docs/costs.md` are held against what the real functions
//! ask of the table, the sizes of its items, what the template makes, and the lists of prices.
//!
//! Requests are counted on a pool of two full shards. What a function asks about all shards or all instances of a pool
//! in one batch grows with the pool; all else it asks once. How long a run takes and how much it logs only AWS can tell:
//! those numbers are assumed here, and `docs/costs.md` says so.

use std::collections::BTreeMap;

use pool_bench::item::{read_units, size_bytes, write_units};
use pool_bench::prices::Prices;
use pool_core::policy::Policy;
use pool_core::price;
use pool_core::shard::{Kind, Market};
use pool_function::metrics::Metric;
use pool_store::codec::Item;
use pool_tests::Stage;
use pool_tests::request::root;
use pool_tests::table::TableRequest;
use pool_tests::template;
use serde_yaml_ng::Value;

/// The pool on which requests are counted.
const SHARDS: u32 = 2;
const INSTANCES: u32 = 32;
const LEASES: u32 = 24;

/// A caller; the unique id of a role has so many characters.
const OWNER: &str = "AROAEXAMPLEOFACALLER1";

/// Hours of a month, as AWS counts it.
const HOURS: f64 = 730.0;
const MINUTES: f64 = HOURS * 60.0;
const GB: f64 = 1_073_741_824.0;

/// Assumed: how long a run takes beside its items, with its requests to the table and to EC2.
const API_RUN_MS: f64 = 10.0;
const BACKGROUND_RUN_MS: f64 = 500.0;
/// Assumed: how long it takes to read or write an item, and to make sense of it.
const ITEM_MS: f64 = 0.5;
/// Assumed: bytes that Lambda logs of each run, and API Gateway of each request.
const RUN_LOG_BYTES: f64 = 400.0;
const REQUEST_LOG_BYTES: f64 = 300.0;
/// Assumed: bytes that the functions log themselves, metrics included; a heartbeat logs nothing.
const ACQUIRE_LOG_BYTES: f64 = 1_100.0;
const RELEASE_LOG_BYTES: f64 = 400.0;
const BACKGROUND_LOG_BYTES: f64 = 1_000.0;

/// Assumed: routes that are used at all times (heartbeats, leases begun and given back), and the metrics that API
/// Gateway keeps of each when the template wants detailed ones
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>).
const BUSY_ROUTES: f64 = 3.0;
const METRICS_A_ROUTE: f64 = 6.0;

/// The instance that the control plane is compared with, and its disk.
const TYPE: &str = "t3.medium";
const DISK_GB: f64 = 20.0;

/// A size of a pool.
#[derive(Debug, Clone, Copy)]
struct Pool {
    instances: f64,
    shards: f64,
}

impl Pool {
    fn of(instances: u32) -> Self {
        let max = u64::from(instances);
        let policy = Policy { max_instances: max, ..policy() };
        Self { instances: f64::from(instances), shards: f64::from(policy.shards()) }
    }
}

/// What is asked of the table.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    read_units: f64,
    write_units: f64,
    items: f64,
}

impl Load {
    fn plus(self, other: Self, times: f64) -> Self {
        Self {
            read_units: self.read_units + other.read_units * times,
            write_units: self.write_units + other.write_units * times,
            items: self.items + other.items * times,
        }
    }
}

/// What is asked of the table, by what it grows with.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    once: Load,
    a_shard: Load,
    an_instance: Load,
}

impl Asked {
    fn of(requests: &[TableRequest], items: &BTreeMap<String, Item>) -> Self {
        let mut asked = Self::default();
        for request in requests {
            for key in &request.keys {
                let bytes = items.get(key).map_or(0, size_bytes);
                let load = load(request, bytes);
                let batch = request.operation == "BatchGetItem";
                if batch && key.starts_with("shard#") {
                    asked.a_shard = asked.a_shard.plus(load, 1.0 / f64::from(SHARDS));
                } else if batch && key.starts_with("instance#") {
                    asked.an_instance = asked.an_instance.plus(load, 1.0 / f64::from(INSTANCES));
                } else {
                    asked.once = asked.once.plus(load, 1.0);
                }
            }
        }
        asked
    }

    fn by(self, pool: Pool) -> Load {
        self.once.plus(self.a_shard, pool.shards).plus(self.an_instance, pool.instances)
    }
}

/// Units of one item in one request.
fn load(request: &TableRequest, bytes: u32) -> Load {
    match request.operation.as_str() {
        "GetItem" | "BatchGetItem" => {
            Load { read_units: read_units(bytes, request.is_consistent), write_units: 0.0, items: 1.0 }
        }
        "UpdateItem" | "PutItem" => Load { read_units: 0.0, write_units: write_units(bytes), items: 1.0 },
        other => panic!("what does {other} cost?"),
    }
}

/// What the functions ask of the table.
struct Measured {
    acquire: Asked,
    release: Asked,
    heartbeat: Asked,
    /// A run of `scale` and one of `reap-idle` while nothing is to be done.
    minute: Asked,
    /// The largest item of a shard, in bytes.
    shard_bytes: u32,
}

/// Asks real functions, on a pool of two shards whose instances are leased three out of four.
async fn measure() -> Measured {
    let size = INSTANCES.to_string();
    let stage = Stage::new(&[("POOL_MAX", size.as_str()), ("POOL_MIN", size.as_str())]).await;
    assert_eq!(stage.grow().await.len().to_string(), size, "every instance is launched at once");
    for _ in 1..LEASES {
        stage.lease(OWNER).await;
    }
    for _ in 0..2 {
        stage.clock.pass(60);
        stage.all_beat().await;
        stage.scale().await;
        stage.reap_idle().await;
    }
    stage.clock.pass(60);
    stage.all_beat().await;

    let requests = &stage.table.requests;
    let _ = requests.take();
    let lease = stage.lease(OWNER).await.text("lease_id");
    let acquire = requests.take();
    let with_lease = stage.table.all_items().await;
    let instance = stage.shard(0).await.members.into_keys().next().expect("it has sixteen");
    stage.heartbeat(&instance).await.is(200);
    let heartbeat = requests.take();
    stage.scale().await;
    stage.reap_idle().await;
    let minute = requests.take();
    let items = stage.table.all_items().await;
    stage.release(OWNER, &lease).await.is(204);
    let release = requests.take();
    assert_eq!((acquire.len(), release.len()), (1, 1), "{acquire:?} {release:?}");
    let shards = items.iter().filter(|(key, _)| key.starts_with("shard#"));
    Measured {
        acquire: Asked::of(&acquire, &with_lease),
        release: Asked::of(&release, &items),
        heartbeat: Asked::of(&heartbeat, &items),
        minute: Asked::of(&minute, &items),
        shard_bytes: shards.map(|(_, item)| size_bytes(item)).max().expect("there are shards"),
    }
}

fn policy() -> Policy {
    Policy::parse::<&str, &str>([]).expect("the defaults are valid")
}

/// What a run of a function costs.
fn run(prices: &Prices, run_ms: f64, memory_gb: f64, load: Load, log_bytes: f64) -> f64 {
    let seconds = (run_ms + ITEM_MS * load.items) / 1_000.0;
    prices.usd("lambda_request")
        + prices.usd("lambda_arm64_gb_second") * seconds * memory_gb
        + prices.usd("dynamodb_read_request_unit") * load.read_units
        + prices.usd("dynamodb_write_request_unit") * load.write_units
        + prices.usd("logs_ingested_gb") * (RUN_LOG_BYTES + log_bytes) / GB
}

/// The same of one that answers a request of the API.
fn request(prices: &Prices, memory_gb: f64, load: Load, log_bytes: f64) -> f64 {
    prices.usd("http_api_request") + run(prices, API_RUN_MS, memory_gb, load, log_bytes + REQUEST_LOG_BYTES)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Metrics, alarms and the dashboard, in USD a month.
fn watching(template: &Value, prices: &Prices) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).expect("a few"));
    // An alarm is paid for each metric that it looks at.
    let alarms = template::of_type(template, "AWS::CloudWatch::Alarm");
    let watched = alarms.map(|(_, alarm)| template::having(alarm, "MetricName").len()).sum();
    let dashboards = template::of_type(template, "AWS::CloudWatch::Dashboard").count();
    let routes = &template["Resources"]["ApiStage"]["Properties"]["DefaultRouteSettings"];
    let of_routes = if routes["DetailedMetricsEnabled"] == true { BUSY_ROUTES * METRICS_A_ROUTE } else { 0.0 };
    prices.usd("custom_metric_month") * (number(Metric::ALL.len()) + of_routes)
        + prices.usd("alarm_metric_month") * number(watched)
        + prices.usd("dashboard_month") * number(dashboards)
}

/// What an instance costs in a month.
fn an_instance(prices: &Prices) -> f64 {
    let kind = |market| Kind { instance_type: TYPE.to_owned(), zone: String::new(), market, template_version: 1 };
    let hourly = price::usd_per_hour(&kind(Market::Spot)) + prices.usd("public_ipv4_hour");
    hourly * HOURS + prices.usd("gp3_gb_month") * DISK_GB
}

/// Dollars, in cents below a hundred.
fn usd(amount: f64) -> String {
    if amount < 100.0 {
        return format!("${amount:.2}");
    }
    let mut digits = format!("{amount:.0}");
    let mut at = digits.len();
    while at > 3 {
        at -= 3;
        digits.insert(at, ',');
    }
    format!("${digits}")
}

/// A row of the table of `README.md`.
fn row(name: &str, pools: &[Pool], cost: impl Fn(Pool) -> f64) -> String {
    let cells: Vec<String> = pools.iter().map(|pool| usd(cost(*pool))).collect();
    format!("| {name} | {} |", cells.join(" | "))
}

/// A row of the table of `docs/costs.md`.
fn load_row(name: &str, asked: Asked) -> String {
    let cells = |load: Load| format!("{:.2} / {:.2} / {:.2}", load.read_units, load.write_units, load.items);
    format!("| {name} | {} | {} | {} |", cells(asked.once), cells(asked.a_shard), cells(asked.an_instance))
}

/// What a file should have, rows one after the other, and does not.
fn missing_in(file: &str, rows: &[String]) -> Option<String> {
    let rows = rows.join("\n");
    (!read(file).contains(&rows)).then(|| format!("{file} does not have these rows, which are right now:\n{rows}"))
}

#[tokio::test]
async fn the_tables_of_costs_are_what_the_code_and_the_prices_come_to() {
    let (prices, template, measured) = (Prices::read(), template::read(), measure().await);
    let memory_mb = template["Globals"]["Function"]["MemorySize"].as_f64().expect("a size");
    let gb = memory_mb / 1_024.0;
    let beats = 3_600.0 * HOURS / f64::from(u32::try_from(policy().heartbeat_seconds).expect("seconds"));

    let watching = watching(&template, &prices);
    let each_minute = |pool: Pool| {
        let load = measured.minute.by(pool);
        // It is two runs: the fixed part comes twice, and the items of both are in the load.
        let second = run(&prices, BACKGROUND_RUN_MS, gb, Load::default(), BACKGROUND_LOG_BYTES);
        MINUTES * (run(&prices, BACKGROUND_RUN_MS, gb, load, BACKGROUND_LOG_BYTES) + second)
    };
    let heartbeats = |pool: Pool| pool.instances * beats * request(&prices, gb, measured.heartbeat.by(pool), 0.0);
    let all = |pool: Pool| watching + each_minute(pool) + heartbeats(pool);
    let pools = [10, 100, 1_000].map(Pool::of);
    let of_a_month = [
        row("metrics, alarms, dashboard", &pools, |_| watching),
        row("`scale` and `reap-idle`, each minute", &pools, each_minute),
        row("heartbeats", &pools, heartbeats),
        row("**control plane in all**", &pools, all),
        row("control plane, for each instance", &pools, |pool| all(pool) / pool.instances),
        row("the instances themselves", &pools, |pool| an_instance(&prices) * pool.instances),
    ];

    let [_, _, large] = pools;
    let a_lease = request(&prices, gb, measured.acquire.by(large), ACQUIRE_LOG_BYTES)
        + request(&prices, gb, measured.release.by(large), RELEASE_LOG_BYTES);
    let of_leases = [format!("A million leases cost {}", usd(a_lease * 1_000_000.0))];
    let asked = [
        load_row("acquire", measured.acquire),
        load_row("release", measured.release),
        load_row("heartbeat", measured.heartbeat),
        load_row("`scale` and `reap-idle`, a run of each", measured.minute),
    ];
    let size = [format!("A full shard's item has {:.1} KB", f64::from(measured.shard_bytes) / 1_024.0)];
    let missing = [
        missing_in("README.md", &of_a_month),
        missing_in("README.md", &of_leases),
        missing_in("docs/costs.md", &asked),
        missing_in("docs/costs.md", &size),
    ];
    let missing: Vec<String> = missing.into_iter().flatten().collect();
    assert!(missing.is_empty(), "{}", missing.join("\n\n"));
}

#[test]
fn the_assumptions_are_told_as_they_are() {
    let told = [
        format!("| run of a function of the API | {API_RUN_MS} ms |"),
        format!("| run of `scale` or `reap-idle` | {BACKGROUND_RUN_MS} ms |"),
        format!("| each item read or written | {ITEM_MS} ms |"),
        format!("| log of a run, by Lambda | {RUN_LOG_BYTES} bytes |"),
        format!("| log of a request, by API Gateway | {REQUEST_LOG_BYTES} bytes |"),
        format!("| log of an acquire, its metrics included | {ACQUIRE_LOG_BYTES} bytes |"),
        format!("| log of a release | {RELEASE_LOG_BYTES} bytes |"),
        format!("| log of a run of `scale` or `reap-idle`, its metrics included | {BACKGROUND_LOG_BYTES} bytes |"),
        format!("| routes with traffic at all times, and metrics of each | {BUSY_ROUTES}, {METRICS_A_ROUTE} |"),
    ];
    assert_eq!(missing_in("docs/costs.md", &told), None);
}

#[test]
fn storage_has_one_price() {
    let in_the_list = Prices::read().usd("gp3_gb_month") * DISK_GB / HOURS;
    assert!((price::STORAGE_USD_PER_HOUR - in_the_list).abs() < 1e-9, "the core and docs/unit-prices.csv differ");
    let disk = template::read()["Parameters"]["RootVolumeGigabytes"]["Default"].as_f64();
    assert_eq!(disk, Some(DISK_GB), "instances have another disk by default");
}

#[test]
fn requests_have_the_units_of_what_they_are_about() {
    let request = |operation: &str, is_consistent| TableRequest {
        operation: operation.to_owned(),
        keys: Vec::new(),
        is_consistent,
    };
    let units = |request: TableRequest, bytes| {
        let load = load(&request, bytes);
        (load.read_units, load.write_units)
    };
    assert_eq!(units(request("GetItem", true), 4_097), (2.0, 0.0));
    assert_eq!(units(request("BatchGetItem", false), 0), (0.5, 0.0));
    assert_eq!(units(request("UpdateItem", false), 1_024), (0.0, 1.0));
    assert_eq!(units(request("PutItem", false), 1_025), (0.0, 2.0));
}

#[test]
fn the_budget_counts_what_launched_instances_bear() {
    let template = template::read();
    let filter = &template["Resources"]["Budget"]["Properties"]["Budget"]["CostFilters"]["TagKeyValue"][0];
    let Value::Tagged(joined) = filter else { panic!("{filter:?} is no !Join") };
    assert_eq!(joined.value[0], "$");
    assert_eq!(joined.value[1][0], format!("user:{}", pool_fleet::tags::POOL).as_str());
}
