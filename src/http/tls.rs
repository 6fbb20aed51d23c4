//! TLS for clients: rustls, 1.2 and newer, HTTP/1.1.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// A certificate with its key, ready to serve. Clones are of the same: what renews one renews all.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why a certificate and a key cannot serve. Neither is repeated.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate in the file.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// There is no key in the file.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// They do not fit together, or the key is of a kind that is not served.
    #[error("certificate and key cannot be used together: {0}")]
    Unusable(rustls::Error),
}

impl Tls {
    /// From a chain of certificates, the server's own first, and its key; both PEM.
    ///
    /// # Errors
    /// When one of them cannot be read, or the key is not the certificate's.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .and_then(|versions| versions.with_no_client_auth().with_single_cert(chain, key))
            .map_err(TlsError::Unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(ArcSwap::from_pointee(config))))
    }

    /// Connections from now on get the certificate of `newer`.
    pub fn renew(&self, newer: &Self) {
        self.0.store(newer.0.load_full());
    }

    /// The handshake; the caller bounds its time.
    pub(super) fn accept(&self, socket: TcpStream) -> Accept<TcpStream> {
        TlsAcceptor::from(self.0.load_full()).accept(socket)
    }
}

/// A connection after its handshake.
pub(super) type Encrypted = TlsStream<TcpStream>;
