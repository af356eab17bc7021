//! TLS to the database: how sure one must be of the server, as libpq's `sslmode` says. Its own provider of cryptography:
//! none needs to be installed for the process.

use super::address::{PostgresSettings, TlsMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// TLS cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("the root certificates in {path} cannot be read: {source}")]
    Roots { path: PathBuf, source: io::Error },
    #[error("{0} holds no certificate in PEM")]
    Empty(PathBuf),
    #[error("this host trusts no certificate authority: name a root certificate")]
    NoAuthorities,
    #[error("TLS: {0}")]
    Library(#[from] rustls::Error),
    #[error("the root certificates cannot be used: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// How sure one must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    /// That it speaks TLS.
    None,
    /// Its certificate has a trusted root.
    Root,
    /// And is for its name.
    Name,
}

pub(super) fn connector(settings: &PostgresSettings) -> Result<MakeRustlsConnect, TlsError> {
    let proof = match settings.tls {
        TlsMode::Require if settings.root_certificates.is_some() => Proof::Root,
        TlsMode::Disable | TlsMode::Allow | TlsMode::Prefer | TlsMode::Require => Proof::None,
        TlsMode::VerifyCa => Proof::Root,
        TlsMode::VerifyFull => Proof::Name,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = if proof == Proof::None { Vec::new() } else { roots(settings)? };
    let verifier = Verifier::new(proof, roots, Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn roots(settings: &PostgresSettings) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let Some(path) = &settings.root_certificates else {
        let found = rustls_native_certs::load_native_certs().certs;
        return if found.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(found) };
    };
    let failed = |source| TlsError::Roots { path: path.clone(), source };
    let text = std::fs::read(path).map_err(failed)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| failed(io::Error::other(error)))?;
    if found.is_empty() { Err(TlsError::Empty(path.clone())) } else { Ok(found) }
}

#[derive(Debug)]
struct Verifier {
    proof: Proof,
    /// As they were named: a server's own certificate may be among them, which is no authority.
    roots: Vec<CertificateDer<'static>>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(proof: Proof, roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let chain = if proof == Proof::None {
            None
        } else {
            let mut store = RootCertStore::empty();
            // A host's list may hold an old one that cannot be read; the others still count.
            store.add_parsable_certificates(roots.iter().cloned());
            Some(WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build()?)
        };
        Ok(Self { proof, roots, chain, provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let told = chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match told {
            Ok(verified) => Ok(verified),
            // The name is looked at last: all else is well.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.proof == Proof::Root => Ok(ServerCertVerified::assertion()),
            // A certificate that signed itself is its own root, and the library refuses it as no authority's.
            Err(error) if self.roots.iter().any(|root| root == end_entity) => {
                if !is_only_its_own_root(&error) {
                    return Err(error);
                }
                if self.proof == Proof::Name {
                    rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Neither out of date nor anything else that would be wrong with a certificate of an authority.
fn is_only_its_own_root(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_)))
}
