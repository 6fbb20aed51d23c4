//! The seam between the demo and the router that it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::domain::{Arm, ArmId, RouteName, Weights};

/// What the demo's router is built from: one OpenAI-compatible provider and one learned route.
#[derive(Debug, Clone)]
pub struct RouterSpec {
    /// The provider's base URL, `/v1` included; it takes any key or none.
    pub upstream: String,
    /// All arms, of one provider, sorted by id.
    pub arms: Vec<Arm>,
    /// The only route.
    pub route: RouteName,
    /// Serves when the router is unsure; one of `arms`.
    pub default: ArmId,
    /// The route's preference.
    pub weights: Weights,
    /// The SQLite file; its folder exists, the file does not.
    pub database: PathBuf,
    /// Where it listens, on loopback; port 0: any free one.
    pub listen: SocketAddr,
}

/// Starts a router from its specification.
#[async_trait]
pub trait StartRouter: Sync {
    /// # Errors
    /// When the router cannot start.
    async fn start(&self, spec: RouterSpec) -> anyhow::Result<Box<dyn RunningRouter>>;
}

/// A router that listens.
#[async_trait]
pub trait RunningRouter: Send + Sync {
    /// Its address without a path, for example `http://127.0.0.1:8080`.
    fn base_url(&self) -> &str;

    /// Stops it in good order; the log is complete afterwards.
    ///
    /// # Errors
    /// When something did not stop or could not be written.
    async fn stop(self: Box<Self>) -> anyhow::Result<()>;
}
