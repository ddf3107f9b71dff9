//! Draining the pool or an instance, and waiting until that is done.

use std::io::Write;
use std::time::Duration;

use pool_client::{Api, Ask, segment};
use serde_json::{Value, json};

use super::failure::Failure;
use super::run::Surroundings;
use super::show;
use crate::args::Drain;

/// The pause between two looks at the pool; its schedules run each minute.
const PAUSE: Duration = Duration::from_secs(3);

pub(super) async fn drain<O: Write, P: Write>(
    api: &Api,
    options: &Drain,
    around: &mut Surroundings<'_, O, P>,
) -> Result<(), Failure> {
    let why = &options.reason.reason;
    let (path, body) = match &options.instance {
        Some(instance) => {
            (format!("/v1/operator/instances/{}", segment(instance)), json!({ "order": "drain", "reason": why }))
        }
        None => ("/v1/operator/pool".to_owned(), json!({ "drained": true, "reason": why })),
    };
    let answer = api.ask(Ask::post(path, body)).await?;
    if !options.wait {
        return match options.instance {
            Some(_) => around.print(&answer, show::one_instance),
            None => around.print(&answer, |orders| show::operator(orders, "no orders are in force")),
        };
    }
    let mut told = String::new();
    loop {
        let pool = api.ask(Ask::get("/v1/pool")).await?;
        let left = left(&pool, options.instance.as_deref());
        let under_way = pool["totals"]["booting"].as_u64().unwrap_or(0);
        let is_whole = options.instance.is_none();
        if is_whole && pool["operator"]["drained"].is_null() {
            return Err(Failure::TakenBack { left: left.len() });
        }
        // A launch that is decided and not yet recorded is no instance so far.
        if left.is_empty() && (!is_whole || under_way == 0) {
            return if around.json {
                around.print(&pool["totals"], show::status)
            } else {
                around.done("nothing is left")
            };
        }
        let leased = left.iter().filter(|instance| instance["state"] == "leased").count();
        let mut news = format!("{} left, {leased} of them leased", left.len());
        if left.is_empty() {
            news = format!("{under_way} launches are not over yet");
        }
        if news != told {
            writeln!(around.progress, "{news}")?;
            around.progress.flush()?;
            told = news;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The instances that are still there, or the one that is meant.
fn left<'a>(pool: &'a Value, only: Option<&str>) -> Vec<&'a Value> {
    let is_meant = |instance: &&Value| only.is_none_or(|only| instance["instance_id"] == only);
    pool["instances"].as_array().into_iter().flatten().filter(is_meant).collect()
}
