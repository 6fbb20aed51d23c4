//! Another configuration for a running service. One task does it, one order after the other: read and check the file, make what is
//! new of it, tell the learner of models that join and leave, and only then, in one step, hand requests over. Until that step every
//! failure leaves all as it was; requests in flight keep what they started with to their end.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{AppError, ReadAgain, fleet, kept_of_prompts, roster};
use crate::config::{ConfigFaults, Settings};
use crate::service::{ConfigFault, Live, NotReloaded, ReloadOrder, Reloaded, Service};
use crate::telemetry::ReloadResult;

/// Owns the settings in force.
pub(super) struct Reloader {
    pub(super) settings: Settings,
    /// `None`: there is no file.
    pub(super) read_again: Option<ReadAgain>,
    pub(super) live: Arc<Live>,
}

impl Reloader {
    /// Until nobody can give orders any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<ReloadOrder>) {
        let read_again = self.read_again.take().map(Arc::new);
        while let Some(ReloadOrder { by, answer }) = orders.recv().await {
            let result = match &read_again {
                Some(read_again) => self.reload(read_again, &by).await,
                None => Err(NotReloaded::NoFile),
            };
            // Who asked may have left.
            let _nobody = answer.send(result);
        }
    }

    async fn reload(&mut self, read_again: &Arc<ReadAgain>, by: &str) -> Result<Reloaded, NotReloaded> {
        let metrics = Arc::clone(&self.live.service().metrics);
        match Box::pin(self.taken_over(read_again, by)).await {
            Ok(reloaded) => {
                metrics.reload(ReloadResult::Applied);
                metrics.config(&reloaded.config);
                tracing::info!(by, config = %reloaded.config, changed = reloaded.changed, "the configuration was read again and is in force");
                Ok(reloaded)
            }
            Err(refused) => {
                metrics.reload(ReloadResult::Refused);
                tracing::error!(by, config = %self.settings.hash, "{refused}");
                Err(refused)
            }
        }
    }

    async fn taken_over(&mut self, read_again: &Arc<ReadAgain>, by: &str) -> Result<Reloaded, NotReloaded> {
        let (read_again, before) = (Arc::clone(read_again), self.settings.clone());
        let read = tokio::task::spawn_blocking(move || read_again(&before));
        let new = read.await.map_err(|_| NotReloaded::Stopping)?.map_err(faulty)?;
        let service = self.live.service();
        let (before, wanted, now) = (self.settings.clone(), new.clone(), Arc::clone(&service));
        let made = tokio::task::spawn_blocking(move || prepared(&now, &before, &wanted));
        let fleet = made.await.map_err(|_| NotReloaded::Stopping)?.map_err(|error| whole(&error))?;
        let (store, learning) = (&service.store, &service.learning);
        roster::tell(&new, &service.reader, store, learning).await.map_err(|error| whole(&error))?;
        let same_bounds = |old: &crate::service::CacheSettings, new: &crate::service::CacheSettings| {
            (old.ttl, old.max_bytes) == (new.ttl, new.max_bytes)
        };
        let cache = new
            .cache
            .as_ref()
            .map(|cache| (cache, self.settings.cache.as_ref().is_some_and(|old| same_bounds(old, cache))));
        let keep = kept_of_prompts(new.store.store_prompts);
        self.live.replace(service.reconfigured(fleet, &new.budgets, keep, cache));
        self.settled(&service, &new);
        let reloaded = Reloaded { changed: new.hash != self.settings.hash, config: new.hash.clone() };
        self.settings = Settings { tls: self.settings.tls.take(), ..new };
        if let Err(error) = store.note_order(by, "config_reloaded", &reloaded.config).await {
            tracing::error!(%error, "the configuration was taken over, which is not in the audit table");
        }
        Ok(reloaded)
    }

    /// What goes by names and places, once requests are handed over.
    fn settled(&self, service: &Service, new: &Settings) {
        fleet::names(new, |routes, arms| service.metrics.know(routes, arms));
        service.health.retain(|arm, provider| {
            let is_there = new.catalog.arms().iter().any(|a| a.id == *arm && a.provider == *provider);
            is_there && fleet::is_same(provider, &self.settings, new)
        });
        if let Some((tls, newer)) = self.settings.tls.as_ref().zip(new.tls.as_ref()) {
            tls.renew(newer);
        }
    }
}

/// All that can fail and changes nothing that requests see. Blocks.
fn prepared(service: &Service, before: &Settings, new: &Settings) -> Result<crate::service::Fleet, AppError> {
    let fleet = fleet::of(new, Some((before, &service.fleet)))?;
    fleet::keep_prices(new, &service.store)?;
    Ok(fleet)
}

fn faulty(faults: ConfigFaults) -> NotReloaded {
    let one = |fault: crate::config::Fault| ConfigFault {
        line: fault.line,
        key: fault.path,
        message: fault.message,
    };
    NotReloaded::Faulty { file: faults.file, faults: faults.faults.into_iter().map(one).collect() }
}

/// What came up when the settings were put to use.
fn whole(error: &AppError) -> NotReloaded {
    let fault = ConfigFault { line: None, key: String::new(), message: error.to_string() };
    NotReloaded::Faulty { file: "the configuration".into(), faults: vec![fault] }
}
