//! Starts everything that a node does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aws_config::imds;
use pool_client::Api;
use pool_core::gate::Gate;
use pool_core::ids::InstanceId;

use crate::chrome::Launcher;
use crate::clock;
use crate::gateway::{Gateway, router};
use crate::guest::Guest;
use crate::health::Health;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::options::{Options, PoolOptions, WatchOptions};
use crate::pool::Clerk;
use crate::service::Service;
use crate::session::Session;
use crate::{listen, metadata, tls};

/// Keeps a Chrome and serves leases until the machine ends. `program` is this binary.
///
/// # Errors
/// When the node cannot start, with what to do.
pub async fn serve(options: Options, program: PathBuf) -> Result<(), String> {
    let (instance, metadata) = who(&options.pool).await?;
    let api = api(&options.pool).await?;
    let (tls, tls_sha256) = if options.plain_http {
        (None, None)
    } else {
        let (tls, digest) = tls::make(instance.as_str()).map_err(|error| error.to_string())?;
        (Some(tls), Some(digest))
    };
    let address = SocketAddr::new(options.bind, options.port);
    let listener = listen::open(address)
        .map_err(|error| format!("cannot listen on {address}: {error}; choose with --bind and --port"))?;
    let launcher = Launcher::new(&options, program).map_err(|error| error.to_string())?;

    let identity = Identity::new(options.pool.boot_id);
    let metrics = Arc::new(Metrics::default());
    let sockets_max = usize::try_from(options.limits.sockets_max).unwrap_or(usize::MAX);
    let gate = Gate::new(instance.clone(), identity.key.clone());
    let session = Arc::new(Session::new(gate, sockets_max, Arc::clone(&metrics)));
    let health = Arc::new(Health::default());
    let guest = Arc::new(Guest::Chrome { session: Arc::clone(&session), health: Arc::clone(&health) });
    let (pool, limits) = (options.pool.clone(), options.limits);
    let gateway = Gateway {
        session: Arc::clone(&session),
        health,
        metrics: Arc::clone(&metrics),
        options,
        instance: instance.to_string(),
        http: reqwest::Client::new(),
    };
    tracing::info!(%instance, %address, "serves");
    tokio::spawn(session.supervise(launcher));
    tokio::spawn(listen::serve(listener, tls, router(Arc::new(gateway)), limits));
    let clerk = Clerk { api, instance: instance.to_string(), identity, tls_sha256, options: pool, guest, metrics };
    work(clerk, metadata).await;
    Ok(())
}

/// Watches a service of the operator's until the machine ends.
///
/// # Errors
/// When the node cannot start, with what to do.
pub async fn watch(options: WatchOptions) -> Result<(), String> {
    let (instance, metadata) = who(&options.pool).await?;
    let api = api(&options.pool).await?;
    let service = Service::new(&options).map_err(|error| error.to_string())?;
    let directory = &options.run_directory;
    let identity = Identity::kept(directory, options.pool.boot_id)
        .map_err(|error| format!("cannot write to {}: {error}; choose with --run-directory", directory.display()))?;
    let guest = Arc::new(Guest::Service(service));
    tracing::info!(%instance, health_url = %options.health_url, "watches");
    let clerk = Clerk {
        api,
        instance: instance.to_string(),
        identity,
        tls_sha256: None,
        options: options.pool,
        guest,
        metrics: Arc::default(),
    };
    work(clerk, metadata).await;
    Ok(())
}

async fn work(clerk: Clerk, metadata: Option<imds::Client>) {
    if let Some(metadata) = metadata {
        tokio::spawn(metadata::watch(metadata, Arc::clone(&clerk.guest)));
    }
    clerk.run().await;
}

/// An instance that is told who it is has no metadata service to watch, either.
async fn who(options: &PoolOptions) -> Result<(InstanceId, Option<imds::Client>), String> {
    if let Some(instance) = &options.instance_id {
        return Ok((instance.clone(), None));
    }
    let metadata = metadata::client();
    Ok((metadata::instance_id(&metadata).await?, Some(metadata)))
}

async fn api(options: &PoolOptions) -> Result<Api, String> {
    let api = Api::at(&options.api, None, options.region.as_deref(), clock::system_time).await;
    api.map_err(|error| error.to_string())
}
