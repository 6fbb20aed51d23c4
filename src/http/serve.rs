//! The listener: accepts until it is told to stop, then drains.

use std::sync::Arc;
use std::time::Duration;

use axum::middleware;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::{Api, limits, router};

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Requests in flight at one time; more are shed.
    pub max_in_flight: usize,
    /// How long requests in flight may go on after the stop.
    pub grace: Duration,
}

/// Serves until `stopping` turns true, then for at most the grace time until all requests have ended.
pub async fn serve(listener: TcpListener, api: Api, options: ServeOptions, stopping: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(options.max_in_flight));
    let app = router(api).layer(middleware::from_fn_with_state(places, limits::layer));
    let told = |mut stopping: watch::Receiver<bool>| async move {
        // An error means that nobody can tell any more: that is a stop too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let serving = axum::serve(listener, app).with_graceful_shutdown(told(stopping.clone()));
    let grace_over = async {
        told(stopping).await;
        tokio::time::sleep(options.grace).await;
    };
    tokio::select! {
        ended = async { serving.await } => {
            if let Err(error) = ended {
                tracing::error!(%error, "the listener failed");
            }
        }
        () = grace_over => tracing::warn!(grace = ?options.grace, "requests in flight were cut off at the end of the grace time"),
    }
}
