//! TLS to the database: rustls, the certificate and the name always checked.

use std::fs;
use std::path::Path;

use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// By the authorities of the file, or the system's.
pub(super) fn connector(authorities: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let versions = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let verified = match authorities {
        Some(file) => versions.with_root_certificates(roots(file)?),
        None => versions.with_platform_verifier().map_err(|e| e.to_string())?,
    };
    Ok(MakeRustlsConnect::new(verified.with_no_client_auth()))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let fault = |why: String| format!("sslrootcert {}: {why}", file.display());
    let pem = fs::read(file).map_err(|e| fault(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| fault(e.to_string()))?;
        roots.add(certificate).map_err(|e| fault(e.to_string()))?;
    }
    if roots.is_empty() { Err(fault("holds no certificate".to_owned())) } else { Ok(roots) }
}
