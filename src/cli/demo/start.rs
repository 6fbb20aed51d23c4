//! The demo's router is the real one: the same start as `serve`, from settings instead of a file.

use std::time::Duration;

use async_trait::async_trait;

use super::router::{RouterSpec, RunningRouter, StartRouter};
use crate::app::{self, Running};
use crate::config::{
    EmbedderKind, EmbedderSettings, LearningSettings, ProviderFormat, ProviderSettings, ServerSettings,
    Settings, StorePrompts, StoreSettings,
};
use crate::domain::{Catalog, Constraints, Preference, ProviderId};
use crate::policy::Exploration;
use crate::routing::{Retirement, Route, RouteStrategy, SessionSettings};

/// Starts the application in this process; it is reached over loopback HTTP like any other.
pub struct AppStarter;

struct RunningApp {
    base_url: String,
    running: Running,
}

#[async_trait]
impl StartRouter for AppStarter {
    async fn start(&self, spec: RouterSpec) -> anyhow::Result<Box<dyn RunningRouter>> {
        let running = app::start(settings(spec)).await?;
        Ok(Box::new(RunningApp { base_url: format!("http://{}", running.addr), running }))
    }
}

#[async_trait]
impl RunningRouter for RunningApp {
    fn base_url(&self) -> &str {
        &self.base_url
    }

    async fn stop(self: Box<Self>) -> anyhow::Result<()> {
        self.running.stop().await;
        Ok(())
    }
}

fn settings(spec: RouterSpec) -> Settings {
    let route = Route {
        name: spec.route,
        arms: spec.arms.iter().map(|a| a.id.clone()).collect(),
        default: spec.default,
        strategy: RouteStrategy::Learned,
        preference: Preference::Weights(spec.weights),
        constraints: Constraints::default(),
        exploration: Exploration::DEFAULT,
        session: SessionSettings::default(),
        retire: Retirement::default(),
        conduct: Default::default(),
    };
    let provider = spec.arms.first().map_or_else(|| ProviderId::from("simulation"), |a| a.provider.clone());
    Settings {
        hash: "demo".to_owned(),
        experiment: None,
        tls: None,
        server: ServerSettings {
            listen: spec.listen,
            shutdown_grace: Duration::from_secs(2),
            ..ServerSettings::default()
        },
        store: StoreSettings { address: spec.database.into(), store_prompts: StorePrompts::None },
        // All traffic comes at once on this one machine: MiniLM would be what one watches.
        embedder: EmbedderSettings { kind: EmbedderKind::Adaptive, ..EmbedderSettings::default() },
        learning: LearningSettings::default(),
        judge: None,
        cache: None,
        providers: vec![ProviderSettings {
            id: provider,
            format: ProviderFormat::OpenAiCompatible,
            base_url: spec.upstream,
            api_key: None,
            headers: Vec::new(),
            auth_header: None,
            path: None,
            query: Vec::new(),
            ca_pem: None,
            allow_link_local: false,
            limits: Default::default(),
            conduct: Default::default(),
        }],
        catalog: Catalog::new("demo", spec.arms),
        prices_from: Default::default(),
        comparable_usd: Default::default(),
        priors: Default::default(),
        draining: Default::default(),
        routes: vec![route],
        budgets: Default::default(),
    }
}
