//! Takes connections in, with TLS unless told otherwise.
//!
//! Rule: nobody holds a connection without doing something: handshake and head have a limit, so have the pauses between requests, and there
//! are only so many connections. One too many is closed at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::options::Limits;

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Opens the port.
///
/// # Errors
/// When it is taken, or the address is not one of this machine.
pub fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

/// Serves the routes on every connection that comes. Never returns.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, routes: Router, limits: Limits) {
    let places = Arc::new(Semaphore::new(usize::try_from(limits.connections_max).unwrap_or(usize::MAX)));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // No file descriptor is left, or the caller has gone; others may still be served.
                tracing::warn!(%error, "cannot take a connection in");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            // What goes wrong in one connection is its caller's to know.
            let _ = connection(stream, tls, routes, limits).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, routes: Router, limits: Limits) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head()).max_buf_size(HEAD_BYTES_MAX);
    let service = TowerToHyperService::new(routes);
    let ended = match tls {
        Some(tls) => {
            let stream = tokio::time::timeout(limits.head(), tls.accept(stream)).await??;
            http.serve_connection(TokioIo::new(stream), service).with_upgrades().await
        }
        None => http.serve_connection(TokioIo::new(stream), service).with_upgrades().await,
    };
    ended.map_err(io::Error::other)
}
