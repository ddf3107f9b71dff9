//! Acquiring: the request waits in the pool's queue, and this waits beside it, saying how far it has come.

use std::io::Write;
use std::time::Duration;

use pool_client::{Api, ApiError, Ask, segment};
use serde_json::{Value, json};

use super::failure::Failure;
use super::run::Surroundings;
use super::show;
use crate::args::Acquire;

/// An answer is held for so long, in seconds, so that progress is told now and then.
const HELD_SECONDS: u64 = 5;
/// So many answers in a row that say "later" are borne, about a minute.
const OUT_OF_BREATH_MAX: u32 = 120;
/// The pause after an answer that was not held.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn acquire<O: Write, P: Write>(
    api: &Api,
    options: &Acquire,
    around: &mut Surroundings<'_, O, P>,
) -> Result<(), Failure> {
    let mut body = json!({ "wait_seconds": options.wait });
    if let Some(ttl) = options.ttl {
        body["ttl_seconds"] = json!(ttl);
    }
    let mut ask = Ask::post("/v1/leases", body);
    if let Some(key) = &options.idempotency_key {
        ask = ask.header("idempotency-key", key);
    }
    let mut lease = api.ask(ask).await?;
    let mut told = String::new();
    let mut out_of_breath = 0;
    while lease["state"] == "pending" {
        tell(&lease, &mut told, around)?;
        let id = lease["lease_id"].as_str().unwrap_or_default().to_owned();
        lease = match api.ask(Ask::get(format!("/v1/leases/{}", segment(&id))).held(HELD_SECONDS)).await {
            Ok(lease) => {
                out_of_breath = 0;
                lease
            }
            Err(ApiError::Refused { status: 404, .. }) => return Err(Failure::WaitedInVain),
            // The request keeps its place while the pool is out of breath.
            Err(ApiError::Refused { status: 503, .. }) if out_of_breath < OUT_OF_BREATH_MAX => {
                out_of_breath += 1;
                lease
            }
            Err(error) => return Err(error.into()),
        };
        tokio::time::sleep(PAUSE).await;
    }
    around.print(&lease, |lease| show::lease(lease, options.show_token))
}

/// Says how far the wait has come, if that is news.
fn tell<O: Write, P: Write>(
    lease: &Value,
    told: &mut String,
    around: &mut Surroundings<'_, O, P>,
) -> Result<(), Failure> {
    let place = lease["position"].as_u64().unwrap_or(1);
    let eta = lease["eta_seconds"].as_u64();
    let eta = eta.map_or_else(|| "nothing is in sight yet".to_owned(), |seconds| format!("about {seconds} s to go"));
    let news = format!("waiting: place {place} in the queue, {eta}");
    if news != *told {
        writeln!(around.progress, "{news}")?;
        around.progress.flush()?;
        *told = news;
    }
    Ok(())
}
