//! The only module that knows our status codes, header names and paths.
//!
//! Handlers are thin: bytes to a request of `service`, its answer to bytes. Every request passes `gate` first, which
//! denies by default; a path is open only when it stands in `auth`'s list.

mod admin;
mod answer;
mod auth;
mod body;
mod chat;
mod completions;
mod decisions;
mod embeddings;
mod error;
mod feedback;
mod gate;
mod guesses;
mod headers;
mod health;
mod limits;
mod messages;
mod models;
mod openapi;
pub mod parts;
mod patient;
mod rates;
mod responses;
mod route;
mod serve;
mod sse;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};

use crate::service::{Live, Service};

pub use gate::Gate;
pub use guesses::Guesses;
pub use limits::Places;
pub use openapi::document as openapi_document;
pub use serve::{ServeOptions, serve};
pub use tls::{Tls, TlsError};

/// What the HTTP side needs.
#[derive(Clone)]
pub struct Api {
    /// The use cases, under the configuration of the moment.
    pub live: Arc<Live>,
    /// Longest body that is read, bytes.
    pub max_body_bytes: usize,
    /// Longest time in which a body must have come.
    pub body_timeout: Duration,
    /// Silence on a stream after which a comment keeps it alive.
    pub keep_alive: Duration,
    /// Wrong keys on the paths of operators.
    pub guesses: Arc<Guesses>,
    /// Places for requests.
    pub places: Arc<Places>,
    /// Whether requests without a key are served while no key exists; only on a loopback address.
    pub open_without_keys: OpenWithoutKeys,
    /// Who may call `/admin`.
    pub admin: AdminTo,
}

impl Api {
    /// The use cases as they are configured now. A handler takes them once.
    fn service(&self) -> Arc<Service> {
        self.live.service()
    }
}

/// From where `/admin` can be called, with a key of that scope. To others there is no such path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminTo {
    /// From everywhere: the listener is there for it.
    Everybody,
    /// From this machine.
    Loopback,
    /// From nowhere: it has a listener of its own.
    Nobody,
}

/// Whether an instance without any key serves everybody who reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWithoutKeys {
    /// It listens on loopback: whoever is on the machine may ask.
    Yes,
    /// It does not: without a valid key nobody is served.
    No,
}

/// All paths.
pub fn gate(api: Api) -> Gate {
    gate_with(Router::new(), api)
}

/// All paths, and those of `more` behind the same gate.
pub fn gate_with(more: Router<Api>, api: Api) -> Gate {
    let paths = more
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/responses", post(responses::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count_tokens))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/route", post(route::create))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::get))
        .route("/v1/decisions/{id}", get(decisions::get))
        .route("/feedback", post(feedback::create))
        .route("/v1/feedback", post(feedback::create))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::get))
        .merge(admin::router())
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(api.clone());
    Gate::around(paths, api)
}
