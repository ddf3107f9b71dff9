//! Starts everything that a node does.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aws_config::imds;
use pool_client::Api;
use pool_core::gate::Gate;
use pool_core::ids::InstanceId;
use tokio::task::JoinSet;

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
    let metrics = Arc::new(Metrics::default());
    let sockets_max = usize::try_from(options.limits.sockets_max).unwrap_or(usize::MAX);
    let (api, contact) = (Arc::new(api), Arc::default());
    let (mut slots, mut clerks) = (Vec::new(), Vec::new());
    for (number, slot) in instance.slots(options.sessions).enumerate() {
        let launcher = Launcher::new(&options, number, program.clone()).map_err(|error| error.to_string())?;
        let identity = Identity::new(options.pool.boot_id);
        let gate = Gate::new(slot.clone(), identity.key.clone());
        let session = Arc::new(Session::new(gate, sockets_max, Arc::clone(&metrics)));
        let health = Arc::new(Health::default());
        tokio::spawn(Arc::clone(&session).supervise(launcher));
        clerks.push(Clerk {
            api: Arc::clone(&api),
            instance: slot.to_string(),
            identity,
            tls_sha256: tls_sha256.clone(),
            busy_percent_max: (options.sessions > 1).then_some(options.busy_percent_max),
            options: options.pool.clone(),
            contact: Arc::clone(&contact),
            guest: Arc::new(Guest::Chrome { session: Arc::clone(&session), health: Arc::clone(&health) }),
            metrics: Arc::clone(&metrics),
        });
        slots.push((session, health));
    }
    tracing::info!(%instance, %address, sessions = slots.len(), "serves");
    let limits = options.limits;
    let (instance, http) = (instance.to_string(), reqwest::Client::new());
    let gateway = Gateway { slots, metrics, options, instance, http };
    tokio::spawn(listen::serve(listener, tls, router(Arc::new(gateway)), limits));
    work(clerks, metadata).await;
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
        api: Arc::new(api),
        instance: instance.to_string(),
        identity,
        tls_sha256: None,
        busy_percent_max: None,
        options: options.pool,
        contact: Arc::default(),
        guest,
        metrics: Arc::default(),
    };
    work(vec![clerk], metadata).await;
    Ok(())
}

/// Never returns.
async fn work(clerks: Vec<Clerk>, metadata: Option<imds::Client>) {
    if let Some(metadata) = metadata {
        let guests = clerks.iter().map(|clerk| Arc::clone(&clerk.guest)).collect();
        tokio::spawn(metadata::watch(metadata, guests));
    }
    let mut working: JoinSet<()> = clerks.into_iter().map(Clerk::run).collect();
    working.join_next().await;
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
