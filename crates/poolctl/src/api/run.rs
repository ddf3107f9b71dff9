//! What each command asks, and what of the answer it prints.

use std::io::Write;
use std::time::{Duration, SystemTime};

use pool_client::{Api, Ask, segment};
use pool_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use super::{drain, lease, show};
use crate::args::{self, Connection};
use crate::{connect, top};

/// What a command needs of the process it runs in.
#[derive(Debug)]
pub struct Surroundings<'a, O, P> {
    /// Where answers go.
    pub out: &'a mut O,
    /// Where progress goes.
    pub progress: &'a mut P,
    /// JSON instead of tables.
    pub json: bool,
    /// The time, to sign with.
    pub clock: fn() -> SystemTime,
}

impl<O: Write, P: Write> Surroundings<'_, O, P> {
    /// Prints an answer as JSON or as a table.
    pub(super) fn print(&mut self, answer: &Value, table: impl Fn(&Value) -> String) -> Result<(), Failure> {
        if self.json {
            writeln!(self.out, "{answer:#}")?;
        } else {
            writeln!(self.out, "{}", table(answer))?;
        }
        Ok(())
    }

    /// Says that something is done that has no answer.
    pub(super) fn done(&mut self, what: &str) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "{what}")?;
        }
        Ok(())
    }
}

/// Carries out a command.
///
/// # Errors
/// Why it came to nothing.
pub async fn run<O: Write, P: Write>(
    command: &args::Ask,
    connection: &Connection,
    mut around: Surroundings<'_, O, P>,
) -> Result<(), Failure> {
    let Connection { endpoint, profile, region } = connection;
    let api = Api::at(endpoint, profile.as_deref(), region.as_deref(), around.clock).await?;
    match command {
        args::Ask::Acquire(options) => lease::acquire(&api, options, &mut around).await,
        args::Ask::Renew { lease, ttl, show_token } => {
            let body = ttl.map_or_else(|| json!({}), |ttl| json!({ "ttl_seconds": ttl }));
            let renewed = api.ask(Ask::post(format!("/v1/leases/{}/renew", segment(lease)), body)).await?;
            around.print(&renewed, |lease| show::lease(lease, *show_token))
        }
        args::Ask::Lease { lease, show_token } => {
            let found = api.ask(Ask::get(format!("/v1/leases/{}", segment(lease)))).await?;
            around.print(&found, |lease| show::lease(lease, *show_token))
        }
        args::Ask::Release { lease } => {
            api.ask(Ask::delete(format!("/v1/leases/{}", segment(lease)))).await?;
            around.done("given back")
        }
        args::Ask::Connect(options) => Ok(connect::connect(&api, options, around.out, asked_to_stop()).await?),
        args::Ask::Status => around.print(&api.pool().await?, show::status),
        args::Ask::Top { every } => {
            let clock = around.clock;
            let now = || Timestamp(clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
            Ok(top::top(&api, Duration::from_secs(*every), now).await?)
        }
        args::Ask::Instances => {
            let pool = api.pool().await?;
            around.print(&pool["instances"], show::instances)
        }
        args::Ask::Instance { instance } => {
            let story = api.ask(Ask::get(format!("/v1/instances/{}", segment(instance)))).await?;
            around.print(&story, show::instance)
        }
        args::Ask::History { instance } => {
            let story = api.ask(Ask::get(format!("/v1/instances/{}", segment(instance)))).await?;
            around.print(&story["history"], show::history)
        }
        args::Ask::Drain(options) => drain::drain(&api, options, &mut around).await,
        order => ordered(&api, order, &mut around).await,
    }
}

/// Ends with Ctrl-C, and when whoever started this says so.
async fn asked_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// The operator's orders, which are answered with what is in force then.
async fn ordered<O: Write, P: Write>(
    api: &Api,
    order: &args::Ask,
    around: &mut Surroundings<'_, O, P>,
) -> Result<(), Failure> {
    let pool = |body: Value| Ask::post("/v1/operator/pool", body);
    let ask = match order {
        args::Ask::Pause(why) => pool(json!({ "paused": true, "reason": why.reason })),
        args::Ask::Resume(why) => pool(json!({ "paused": false, "reason": why.reason })),
        args::Ask::Undrain(why) => pool(json!({ "drained": false, "reason": why.reason })),
        args::Ask::Cap { max: args::Cap(Some(max)), reason: Some(why) } => {
            pool(json!({ "max_instances": max, "reason": why }))
        }
        // The pool says that a reason is wanted.
        args::Ask::Cap { max: args::Cap(Some(max)), reason: None } => pool(json!({ "max_instances": max })),
        args::Ask::Cap { max: args::Cap(None), reason } => {
            let why = reason.as_deref().unwrap_or(args::TAKEN_BACK);
            pool(json!({ "max_instances_as_deployed": true, "reason": why }))
        }
        args::Ask::Cordon { instance, reason } => {
            let path = format!("/v1/operator/instances/{}", segment(instance));
            Ask::post(path, json!({ "order": "cordon", "reason": reason.reason }))
        }
        args::Ask::ForceRelease { lease } => Ask::delete(format!("/v1/operator/leases/{}", segment(lease))),
        // Those that are no orders were carried out before.
        _ => return Ok(()),
    };
    let answer = api.ask(ask).await?;
    match order {
        args::Ask::ForceRelease { .. } => around.done("released"),
        args::Ask::Cordon { .. } => around.print(&answer, show::one_instance),
        _ => around.print(&answer, |orders| show::operator(orders, "no orders are in force")),
    }
}
