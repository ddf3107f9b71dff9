//! HTTPS in front of the embedded DynamoDB, with a certificate made here, that can be slow to begin a connection.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Where Debian and Amazon Linux keep the roots that they trust.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// A server.
#[derive(Debug)]
pub struct Tls {
    /// Its address for clients.
    pub url: String,
    connections: Arc<AtomicU64>,
}

impl Tls {
    /// Serves HTTPS in front of `behind`. Each new connection is kept waiting for `delay`. The roots that this machine
    /// trusts and the server's own certificate are written to the file `roots`.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn start(behind: SocketAddr, delay: Duration, roots: &Path) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).map_err(|error| text(&error))?;
        let system = SYSTEM_ROOTS.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        std::fs::write(roots, format!("{system}\n{}", cert.pem())).map_err(|error| text(&error))?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(|error| text(&error))?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| text(&error))?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .map_err(|error| text(&error))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| text(&error))?;
        let port = listener.local_addr().map_err(|error| text(&error))?.port();
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(stream, acceptor.clone(), behind, delay));
            }
        });
        Ok(Self { url: format!("https://localhost:{port}"), connections })
    }

    /// Counts the connections begun so far.
    pub fn counter(&self) -> impl Fn() -> u64 + Clone + Send + Sync + 'static {
        let connections = Arc::clone(&self.connections);
        move || connections.load(Ordering::SeqCst)
    }
}

/// One connection; how it ends is the two sides' business.
async fn carry(stream: TcpStream, acceptor: TlsAcceptor, behind: SocketAddr, delay: Duration) {
    tokio::time::sleep(delay).await;
    let _ = stream.set_nodelay(true);
    let Ok(mut outside) = acceptor.accept(stream).await else { return };
    let Ok(mut inside) = TcpStream::connect(behind).await else { return };
    let _ = inside.set_nodelay(true);
    let _ = copy_bidirectional(&mut outside, &mut inside).await;
}
