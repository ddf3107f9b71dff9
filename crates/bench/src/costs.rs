//! What a million leases cost, out of the units that were measured and AWS's list of prices.

use crate::claim::{Claim, Situation};
use crate::prices::Prices;
use crate::report::{Section, table};

/// Leases.
const PAIRS: f64 = 1_000_000.0;

/// Assumed, as in `docs/costs.md`: how long a run of a function of the API takes, and the memory it is given
/// (`template.yaml`).
const RUN_SECONDS: f64 = 0.010;
const MEMORY_GB: f64 = 0.25;

/// USD for a million leases, each an acquire and a release.
#[must_use]
pub fn costs(measured: &[(Situation, Claim)]) -> Section {
    let prices = Prices::read();
    let both = |request: f64| format!("{:.2}", 2.0 * PAIRS * request);
    let gateway = 2.0 * PAIRS * prices.usd("http_api_request");
    let lambda = prices.usd("lambda_request") + prices.usd("lambda_arm64_gb_second") * RUN_SECONDS * MEMORY_GB;
    let table_usd = |claim: &Claim| {
        let Claim { acquire, release, .. } = claim;
        let writes = acquire.write_units + release.write_units;
        let reads = acquire.read_units + release.read_units;
        let usd = writes * prices.usd("dynamodb_write_request_unit") + reads * prices.usd("dynamodb_read_request_unit");
        PAIRS * usd
    };
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|(situation, claim)| {
            let of_table = table_usd(claim);
            let functions = 2.0 * PAIRS * lambda;
            vec![
                format!("{} x {}", situation.shards, situation.size),
                both(prices.usd("http_api_request")),
                both(lambda),
                format!("{of_table:.2}"),
                format!("{:.2}", gateway + functions + of_table),
                format!("{:.2}", functions + of_table),
            ]
        })
        .collect();
    let header = [
        "shards x instances, 90 % in use",
        "API Gateway HTTP API",
        "Lambda, arm64",
        "DynamoDB on demand",
        "in all",
        "in all by function URLs",
    ];
    Section::of_text("costs", table(&header, &rows))
}
