//! The service under the configuration of the moment, and how another configuration takes its place.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::{BudgetPlan, CacheSettings, Fleet, KeepPrompts, ResponseCache, Service};

/// Orders that may wait; whoever comes then waits with them.
const ORDERS: usize = 16;

/// Holds the service that new requests get. A request takes it once and keeps it to its end.
pub struct Live {
    now: ArcSwap<Service>,
    orders: mpsc::Sender<ReloadOrder>,
}

/// Somebody wants the configuration to be read again.
#[derive(Debug)]
pub struct ReloadOrder {
    /// Id of a key, `loopback`, `SIGHUP` or `file`.
    pub by: String,
    /// Where the result goes.
    pub answer: oneshot::Sender<Result<Reloaded, NotReloaded>>,
}

/// Another configuration is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The beginning of the SHA-256 of its text.
    pub config: String,
    /// Whether it is another text than before.
    pub changed: bool,
}

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigFault {
    /// Line in the file, from 1; `None` for what is absent or lies outside the file.
    pub line: Option<usize>,
    /// The key; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Why the configuration stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// It is at fault, or asks for what needs a restart.
    #[error("the configuration is not taken over, what was in force stays: {}", said(file, faults))]
    Faulty {
        /// Which file.
        file: PathBuf,
        /// At least one.
        faults: Vec<ConfigFault>,
    },
    /// It did not come from a file.
    #[error("there is nothing to read again: the service was started without a configuration file")]
    NoFile,
    /// The service is about to stop.
    #[error("the service is stopping")]
    Stopping,
}

fn said(file: &std::path::Path, faults: &[ConfigFault]) -> String {
    let one = |fault: &ConfigFault| {
        let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let key = if fault.key.is_empty() { String::new() } else { format!("{}: ", fault.key) };
        format!("{line}{key}{}", fault.message)
    };
    format!("{}: {}", file.display(), faults.iter().map(one).collect::<Vec<_>>().join("; "))
}

impl Live {
    /// Serves by `service`; the orders come out at the other end.
    pub fn new(service: Service) -> (Self, mpsc::Receiver<ReloadOrder>) {
        let (orders, waiting) = mpsc::channel(ORDERS);
        (Self { now: ArcSwap::from_pointee(service), orders }, waiting)
    }

    /// The service of the moment.
    pub fn service(&self) -> Arc<Service> {
        self.now.load_full()
    }

    /// New requests get `service`.
    pub fn replace(&self, service: Service) {
        self.now.store(Arc::new(service));
    }

    /// Has the configuration read again, and waits for what came of it.
    ///
    /// # Errors
    /// When it is not taken over; then nothing has changed.
    pub async fn reload(&self, by: impl Into<String>) -> Result<Reloaded, NotReloaded> {
        let (answer, answered) = oneshot::channel();
        let order = ReloadOrder { by: by.into(), answer };
        self.orders.send(order).await.map_err(|_| NotReloaded::Stopping)?;
        answered.await.map_err(|_| NotReloaded::Stopping)?
    }
}

impl Service {
    /// The same service over another fleet and under other budgets: log, learner, conversations, health, rates and books go on. Answers
    /// are kept as long as the cache's bounds are the same (`same_bounds`).
    pub fn reconfigured(
        &self,
        fleet: Fleet,
        budgets: &BudgetPlan,
        keep_prompts: KeepPrompts,
        cache: Option<(&CacheSettings, bool)>,
    ) -> Self {
        let cache = cache.map(|(settings, same_bounds)| match &self.cache {
            Some(cache) if same_bounds => Arc::new(cache.without(&settings.without)),
            _ => Arc::new(ResponseCache::new(settings)),
        });
        Self {
            fleet,
            store: self.store.clone(),
            reader: Arc::clone(&self.reader),
            learning: Arc::clone(&self.learning),
            health: Arc::clone(&self.health),
            sessions: Arc::clone(&self.sessions),
            metrics: Arc::clone(&self.metrics),
            spend: Arc::new(self.spend.under(budgets)),
            rates: Arc::clone(&self.rates),
            cache,
            keep_prompts,
            feedback_within_ms: self.feedback_within_ms,
            implicit: self.implicit.clone(),
            judge: self.judge.clone(),
        }
    }
}
