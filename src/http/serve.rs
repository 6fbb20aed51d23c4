//! The listener: accepts until it is told to stop, then drains. What a connection may do without sending a request is bounded here.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guesses::Peer;
use super::patient::Patient;
use super::tls::{Encrypted, Tls};
use super::{AdminTo, Api, Gate, gate};
use crate::telemetry::Shed;

/// Longest head of a request, bytes.
const MAX_HEAD: usize = 32 * 1024;
/// Wait after an accept that failed: mostly there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection over the bound is told.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Bounds of the listener.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// With which certificate; `None`: in the clear.
    pub tls: Option<Tls>,
    /// Connections that are open, idle ones too.
    pub max_open_connections: usize,
    /// From a connection's begin, or its last answer, to the end of the next request's head. Bounds the TLS handshake too.
    pub header_timeout: Duration,
    /// Longest that a client may read nothing of an answer.
    pub write_timeout: Duration,
    /// How long requests in flight may go on after the stop.
    pub grace: Duration,
}

/// Serves until `stopping` turns true, then for at most the grace time until all requests have ended.
pub async fn serve(listener: TcpListener, api: Api, options: ServeOptions, stopping: watch::Receiver<bool>) {
    let metrics = Arc::clone(&api.service().metrics);
    let gates = Gates::of(api);
    let places = Arc::new(Semaphore::new(options.max_open_connections.min(Semaphore::MAX_PERMITS)));
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(stopping.clone()) => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.shed(Shed::Connection);
            if options.tls.is_none() {
                turn_away(socket);
            }
            continue;
        };
        let open = Open {
            peer: Peer(peer.ip()),
            gate: Arc::clone(gates.for_peer(peer)),
            options: options.clone(),
            _place: place,
        };
        connections.spawn(open.serve(socket, stopping.clone(), cut.clone()));
    }
    drop(listener);
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = tokio::time::sleep(options.grace) => {
            tracing::warn!(grace = ?options.grace, "requests in flight were cut off at the end of the grace time");
            cut.cancel();
            connections.wait().await;
        }
    }
}

async fn told(mut stopping: watch::Receiver<bool>) {
    // An error means that nobody can tell any more: that is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn turn_away(socket: TcpStream) {
    // Nothing waits for such a client: what its socket does not take at once is lost.
    let _ = socket.into_std().and_then(|mut socket| socket.write(TOO_MANY));
}

/// All paths, as callers on this machine see them and as others do. Chosen once per connection.
struct Gates {
    near: Arc<Gate>,
    far: Arc<Gate>,
}

impl Gates {
    fn of(api: Api) -> Self {
        let far = match api.admin {
            AdminTo::Loopback => AdminTo::Nobody,
            other => other,
        };
        Self { near: Arc::new(gate(api.clone())), far: Arc::new(gate(Api { admin: far, ..api })) }
    }

    fn for_peer(&self, peer: SocketAddr) -> &Arc<Gate> {
        if peer.ip().to_canonical().is_loopback() { &self.near } else { &self.far }
    }
}

/// One connection.
struct Open {
    peer: Peer,
    gate: Arc<Gate>,
    options: ServeOptions,
    _place: OwnedSemaphorePermit,
}

impl Open {
    async fn serve(self, socket: TcpStream, stopping: watch::Receiver<bool>, cut: CancellationToken) {
        // Events of a stream go out as they come.
        let _ = socket.set_nodelay(true);
        let Some(tls) = &self.options.tls else { return self.speak(socket, stopping, cut).await };
        let handshake = tokio::time::timeout(self.options.header_timeout, tls.accept(socket));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = told(stopping.clone()) => return,
        };
        match shaken {
            Ok(Ok(encrypted)) => Box::pin(self.speak::<Encrypted>(encrypted, stopping, cut)).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak<S>(self, stream: S, stopping: watch::Receiver<bool>, cut: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let io = TokioIo::new(Patient::new(stream, self.options.write_timeout));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.options.header_timeout)
            .max_header_size(MAX_HEAD);
        let (gate, peer) = (self.gate, self.peer);
        let app = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let gate = Arc::clone(&gate);
            async move { Ok::<_, Infallible>(gate.answer(request.map(Body::new)).await) }
        });
        let mut connection = pin!(http.serve_connection(io, app));
        tokio::select! {
            ended = connection.as_mut() => return note(ended),
            () = cut.cancelled() => return,
            () = told(stopping) => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            ended = connection => note(ended),
            () = cut.cancelled() => {}
        }
    }
}

fn note(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
