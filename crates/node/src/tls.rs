//! The certificate of this start, which callers know by its SHA-256 and not by who signed it.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};

/// A certificate that nobody could make.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct TlsError(String);

/// A new certificate in the name of the instance: what takes connections in with it, and its SHA-256 in hexadecimal.
///
/// # Errors
/// When it cannot be made.
pub fn make(instance: &str) -> Result<(TlsAcceptor, String), TlsError> {
    let refused = |error: rcgen::Error| TlsError(error.to_string());
    let key = KeyPair::generate().map_err(refused)?;
    let parameters = CertificateParams::new([instance.to_owned(), "localhost".to_owned()]).map_err(refused)?;
    let certificate = parameters.self_signed(&key).map_err(refused)?;
    let digest = HEXLOWER.encode(&Sha256::digest(certificate.der()));
    let refused = |error: rustls::Error| TlsError(error.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .map_err(refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), digest))
}
