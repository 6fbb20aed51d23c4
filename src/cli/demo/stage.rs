//! What is played: the playbook, what the route wants, and how the clients behave.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::{DemoArgs, RouterSpec};
use crate::domain::{Arm, ArmId, CapabilitySet, ProviderId, RouteName, Weights};
use crate::offline::dataset::Dataset;
use crate::sim::playbook::Playbook;
use crate::sim::scoreboard::Yardstick;
use crate::sim::traffic::TrafficPlan;

/// The only route of the demo.
const ROUTE: &str = "auto";
/// The only provider.
const PROVIDER: &str = "simulation";
/// Share of answers that clients take as a stream.
const STREAMING: f64 = 0.2;

/// The run before it starts.
pub(super) struct Stage {
    pub(super) playbook: Arc<Playbook>,
    pub(super) weights: Weights,
    /// Index of the route's default model: the best single one.
    pub(super) default: usize,
    pub(super) recorded: bool,
}

/// What a reader of the figures must know of the run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    pub(super) source: String,
    pub(super) recorded: bool,
    pub(super) seed: u64,
    pub(super) clients: u16,
    pub(super) rated: f64,
    pub(super) rating_delay: usize,
    pub(super) weights: Weights,
    pub(super) default: String,
}

impl Stage {
    /// # Errors
    /// When the folder cannot be read or played.
    pub(super) fn set(args: &DemoArgs) -> anyhow::Result<Self> {
        let n = args.requests as usize;
        let playbook = match &args.data {
            None => Playbook::simulated(n, args.seed),
            Some(folder) => {
                let data = Dataset::load(folder).with_context(|| format!("--data {}", folder.display()))?;
                Playbook::recorded(&data, &args.models, n, args.seed)?
            }
        };
        // Recorded latencies are rarely there, so they do not count there.
        let weights =
            if args.data.is_some() { Weights::new(0.95, 0.05, 0.0) } else { Weights::new(0.92, 0.06, 0.02) };
        Ok(Self {
            default: playbook.best_single(),
            playbook: Arc::new(playbook),
            weights: weights?,
            recorded: args.data.is_some(),
        })
    }

    pub(super) fn yardstick(&self) -> Yardstick {
        Yardstick::new(&self.playbook, self.weights, self.default)
    }

    pub(super) fn default_model(&self) -> &str {
        &self.playbook.models[self.default].name
    }

    pub(super) fn router_spec(&self, upstream: &str, database: PathBuf, listen: SocketAddr) -> RouterSpec {
        let arm = |model: &crate::sim::world::Model| Arm {
            id: ArmId::from(model.name.as_str()),
            provider: ProviderId::from(PROVIDER),
            model: model.name.clone(),
            price: model.price,
            limits: model.limits,
            capabilities: CapabilitySet::default(),
        };
        RouterSpec {
            upstream: upstream.to_owned(),
            arms: self.playbook.models.iter().map(arm).collect(),
            route: RouteName::from(ROUTE),
            default: ArmId::from(self.default_model()),
            weights: self.weights,
            database,
            listen,
        }
    }

    pub(super) fn traffic_plan(&self, args: &DemoArgs, router: &str) -> TrafficPlan {
        TrafficPlan {
            router: router.to_owned(),
            route: ROUTE.to_owned(),
            clients: usize::from(args.clients),
            streaming: STREAMING,
            rated: self.rated(args),
            rating_delay: self.rating_delay(args),
            // A program rates, as exactly as a validator would.
            rating_source: "code",
            seed: args.seed,
        }
    }

    fn rated(&self, args: &DemoArgs) -> f64 {
        args.rated.unwrap_or(if self.recorded { 1.0 } else { 0.3 })
    }

    fn rating_delay(&self, args: &DemoArgs) -> usize {
        args.rating_delay.map_or(if self.recorded { 0 } else { 60 }, |answers| answers as usize)
    }

    pub(super) fn facts(&self, args: &DemoArgs) -> Facts {
        Facts {
            source: self.playbook.name.clone(),
            recorded: self.recorded,
            seed: args.seed,
            clients: args.clients,
            rated: self.rated(args),
            rating_delay: self.rating_delay(args),
            weights: self.weights,
            default: self.default_model().to_owned(),
        }
    }

    /// Says plainly that nobody was called.
    pub(super) fn caption(&self) -> String {
        let what = if self.recorded {
            "real prompts with recorded outcomes; no model was called"
        } else {
            "the models are simulated, their names fictional"
        };
        format!(
            "{}: {} prompts, {} models; {what}",
            self.playbook.name,
            self.playbook.plays.len(),
            self.playbook.models.len()
        )
    }
}
