//! Calls over HTTP/1.1: a pool of connections to one upstream, by hyper's own client. What a client library would put on top of it (redirects,
//! retries, cookies, proxies, reading the same URL for every call) is not wanted here, and costs more than the call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::error::Elapsed;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::resolver::Resolver;
use super::{ProviderBuildError, ProviderError};

/// Longest that a connection without a call stays open.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// Idle connections kept per host.
const POOL_SIZE: usize = 256;
/// How long a connection may be silent before it is asked for a sign of life, how long after that again, and how often.
const PROBE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(15), 3);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The head of an answer, and its body to come.
pub(super) type Response = http::Response<Incoming>;

/// Whom an upstream's certificate must come from.
pub(super) enum Trust<'a> {
    /// Nobody: no TLS is spoken. Without it no roots are needed: a bare container has none, and reading them takes time.
    Nobody,
    /// Those that the system trusts.
    System,
    /// These alone, in PEM form.
    Only(&'a [u8]),
}

/// The pool.
#[derive(Debug)]
pub(super) struct Transport(Client<Timed<HttpsConnector<HttpConnector<Resolver>>>, Full<Bytes>>);

impl Transport {
    /// # Errors
    /// When the certificates cannot be read or TLS not be set up.
    pub(super) fn new(
        resolver: Resolver,
        connect_timeout: Duration,
        trust: &Trust<'_>,
    ) -> Result<Self, ProviderBuildError> {
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(PROBE.0));
        http.set_keepalive_interval(Some(PROBE.1));
        http.set_keepalive_retries(Some(PROBE.2));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(trust)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .build(Timed { inner: https, limit: connect_timeout });
        Ok(Self(client))
    }

    /// Sends one request and waits for the head of its answer. Dropped, it closes the connection.
    ///
    /// # Errors
    /// No connection in time, or one that was lost.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, ProviderError> {
        self.0.request(request).await.map_err(|error| of_send(&error))
    }
}

fn tls(trust: &Trust<'_>) -> Result<ClientConfig, ProviderBuildError> {
    let versions = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(ProviderBuildError::Tls)?;
    let verified = match trust {
        Trust::System => versions.try_with_platform_verifier().map_err(ProviderBuildError::Tls)?,
        Trust::Nobody => versions.with_root_certificates(RootCertStore::empty()),
        Trust::Only(pem) => versions.with_root_certificates(authorities(pem)?),
    };
    Ok(verified.with_no_client_auth())
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, ProviderBuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| ProviderBuildError::BadAuthorities)?;
        roots.add(certificate).map_err(|_| ProviderBuildError::BadAuthorities)?;
    }
    if roots.is_empty() { Err(ProviderBuildError::BadAuthorities) } else { Ok(roots) }
}

fn of_send(error: &legacy::Error) -> ProviderError {
    if !error.is_connect() {
        return ProviderError::Cut;
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        let timed_out = |io: &io::Error| io.kind() == io::ErrorKind::TimedOut;
        if inner.is::<Elapsed>() || inner.downcast_ref().is_some_and(timed_out) {
            return ProviderError::ConnectTimeout;
        }
        cause = inner.source();
    }
    ProviderError::Connect
}

/// A connector that gives up: looking up the name, connecting and the TLS handshake share the time.
#[derive(Debug, Clone)]
struct Timed<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.limit, self.inner.call(target));
        Box::pin(async move { connecting.await? })
    }
}
