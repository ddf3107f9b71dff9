//! `poolctl connect`: a port on loopback behind which is the leased browser, for any client of Chrome's DevTools.
//!
//! Rule: the lease lives as long as this command. It is renewed while the command runs and given back at its end, however it ends.

mod pin;
mod proxy;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Uri;
use pool_client::{Api, ApiError, Ask, segment};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::args::Connect;

/// The shortest pause between two renewals that fail.
const PAUSE: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The pool refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The lease has no browser yet.
    #[error("the lease is {0} and has no browser to connect to; acquire one with `poolctl acquire --wait SECONDS`")]
    NotActive(String),
    /// The lease does not say where its browser is.
    #[error("the lease does not say where its browser is and how to open it; its node may not be one with a browser")]
    NoEndpoint,
    /// The port cannot be opened.
    #[error("cannot listen on port {port} of this machine: {source}; choose another with --port")]
    NoPort {
        /// Which.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The digest is none.
    #[error("the lease's tls_sha256 is no SHA-256, so that the browser cannot be told from another")]
    BadDigest,
    /// The lease ended by itself.
    #[error("the lease has ended: {0}")]
    Ended(String),
    /// Nothing can be printed.
    #[error(transparent)]
    Unprinted(#[from] io::Error),
}

/// Where a leased browser is.
#[derive(Clone)]
struct Browser {
    authority: String,
    /// Trusts its certificate and no other; `None` for plain HTTP.
    tls: Option<TlsConnector>,
}

/// Opens the port, says where it is, and serves it until `stop` or until the lease ends.
///
/// # Errors
/// Why it came to nothing, or ended before it was stopped.
pub async fn connect(
    api: &Api,
    options: &Connect,
    out: &mut impl Write,
    stop: impl Future<Output = ()>,
) -> Result<(), ConnectError> {
    let lease = match &options.lease {
        Some(lease) => api.ask(Ask::get(format!("/v1/leases/{}", segment(lease)))).await?,
        None => api.ask(Ask::post("/v1/leases", json!({}))).await?,
    };
    let id = lease["lease_id"].as_str().unwrap_or_default().to_owned();
    let served = serve(api, &id, &lease, options, out, stop).await;
    // A lease that has ended meanwhile is given back, too: the answer is the same.
    let given_back = api.ask(Ask::delete(format!("/v1/leases/{}", segment(&id)))).await;
    served.and(given_back.map(drop).map_err(Into::into))
}

async fn serve(
    api: &Api,
    id: &str,
    lease: &Value,
    options: &Connect,
    out: &mut impl Write,
    stop: impl Future<Output = ()>,
) -> Result<(), ConnectError> {
    if lease["state"] != "active" {
        return Err(ConnectError::NotActive(lease["state"].as_str().unwrap_or("unknown").to_owned()));
    }
    let browser = Browser::of_lease(lease)?;
    let token = lease["access_token"].as_str().ok_or(ConnectError::NoEndpoint)?;
    let (fresh, token) = watch::channel(token.to_owned());
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), options.port);
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|source| ConnectError::NoPort { port: options.port, source })?;
    writeln!(out, "ws://{}", listener.local_addr()?)?;
    out.flush()?;
    tokio::select! {
        ended = keep(api, id, lease, &fresh) => Err(ended),
        () = proxy::serve(listener, browser, token) => Ok(()),
        () = stop => Ok(()),
    }
}

impl Browser {
    fn of_lease(lease: &Value) -> Result<Self, ConnectError> {
        let endpoint: Option<Uri> = lease["endpoint"].as_str().and_then(|endpoint| endpoint.parse().ok());
        let authority = endpoint.as_ref().and_then(|endpoint| endpoint.authority()).ok_or(ConnectError::NoEndpoint)?;
        let tls = match lease["tls_sha256"].as_str() {
            Some(digest) => Some(pin::connector(digest).ok_or(ConnectError::BadDigest)?),
            None => None,
        };
        Ok(Self { authority: authority.to_string(), tls })
    }
}

/// Renews the lease when half of its time has passed. Returns when it has ended.
async fn keep(api: &Api, id: &str, lease: &Value, fresh: &watch::Sender<String>) -> ConnectError {
    let mut left_seconds = lease["expires_in_seconds"].as_u64().unwrap_or_default();
    loop {
        tokio::time::sleep(Duration::from_secs(left_seconds / 2).max(PAUSE)).await;
        match api.ask(Ask::post(format!("/v1/leases/{}/renew", segment(id)), json!({}))).await {
            Ok(lease) => {
                left_seconds = lease["expires_in_seconds"].as_u64().unwrap_or_default();
                if let Some(token) = lease["access_token"].as_str() {
                    fresh.send_replace(token.to_owned());
                }
            }
            Err(ApiError::Refused { status: 403 | 404 | 409, detail, .. }) => return ConnectError::Ended(detail),
            // The pool may be out of breath; half of the time that is left is left for it.
            Err(_) => left_seconds /= 2,
        }
    }
}
