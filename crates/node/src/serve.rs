//! Starts everything that a node does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use pool_client::Api;
use pool_core::gate::Gate;

use crate::chrome::Launcher;
use crate::clock;
use crate::gateway::{Gateway, router};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::pool::{Clerk, Member};
use crate::session::Session;
use crate::{listen, metadata, tls};

/// Serves leases until the machine ends. `program` is this binary.
///
/// # Errors
/// When the node cannot start, with what to do.
pub async fn serve(options: Options, program: PathBuf) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    // An instance that is told who it is has no metadata service to watch, either.
    let (instance, metadata) = if let Some(instance) = &options.instance_id {
        (instance.clone(), None)
    } else {
        let metadata = metadata::client();
        (metadata::instance_id(&metadata).await?, Some(metadata))
    };
    let api = Api::at(&options.api, None, options.region.as_deref(), clock::system_time)
        .await
        .map_err(|error| text(&error))?;
    let (tls, tls_sha256) = if options.plain_http {
        (None, None)
    } else {
        let (tls, digest) = tls::make(instance.as_str()).map_err(|error| text(&error))?;
        (Some(tls), Some(digest))
    };
    let address = SocketAddr::new(options.bind, options.port);
    let listener = listen::open(address)
        .map_err(|error| format!("cannot listen on {address}: {error}; choose with --bind and --port"))?;
    let launcher = Launcher::new(&options, program).map_err(|error| text(&error))?;

    let key = new_key();
    let metrics = Arc::new(Metrics::default());
    let sockets_max = usize::try_from(options.limits.sockets_max).unwrap_or(usize::MAX);
    let session = Arc::new(Session::new(Gate::new(instance.clone(), key.clone()), sockets_max, Arc::clone(&metrics)));
    let health = Arc::new(Health::default());
    let member = Member {
        instance: instance.to_string(),
        boot_id: options.boot_id.unwrap_or_else(clock::now_ms),
        key,
        tls_sha256,
        heartbeat: Duration::from_secs(options.heartbeat_seconds),
        shutdown: options.shutdown_command.clone().map(|command| (options.shutdown_after_seconds, command)),
        run_directory: options.run_directory.clone(),
    };
    let limits = options.limits;
    let gateway = Gateway {
        session: Arc::clone(&session),
        health: Arc::clone(&health),
        metrics: Arc::clone(&metrics),
        options,
        instance: instance.to_string(),
        http: reqwest::Client::new(),
    };
    let clerk = Clerk { api, member, session: Arc::clone(&session), health, metrics };
    tracing::info!(%instance, %address, "serves");
    tokio::spawn(Arc::clone(&session).supervise(launcher));
    if let Some(metadata) = metadata {
        tokio::spawn(metadata::watch(metadata, session));
    }
    tokio::spawn(listen::serve(listener, tls, router(Arc::new(gateway)), limits));
    clerk.run().await;
    Ok(())
}

/// 128 random bits in hexadecimal.
fn new_key() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system's random source works, or nothing is safe");
    HEXLOWER.encode(&bytes)
}
