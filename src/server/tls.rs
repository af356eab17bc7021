//! TLS of a listener. Pingora panics over a bad certificate once it listens, so it is looked at before.

use super::ServerError;
use pingora::listeners::tls::TlsSettings;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// Settings from certificate chain and key (PEM files), HTTP/2 included. `key` names what is at fault.
pub(super) fn settings(key: &'static str, files: &(String, String)) -> Result<TlsSettings, ServerError> {
    let (cert_file, key_file) = files;
    check(cert_file, key_file).map_err(|reason| ServerError::Tls { key, reason })?;
    let settings = TlsSettings::intermediate(cert_file, key_file);
    let mut settings = settings.map_err(|e| ServerError::Tls { key, reason: e.to_string() })?;
    settings.enable_h2();
    Ok(settings)
}

fn check(cert_file: &str, key_file: &str) -> Result<(), String> {
    let chain = CertificateDer::pem_file_iter(cert_file).map_err(|e| e.to_string())?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?.with_no_client_auth();
    builder.with_single_cert(chain, key).map(drop).map_err(|e| e.to_string())
}
