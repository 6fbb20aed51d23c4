//! From the raw file to [`Settings`]: what each value must be, and what must fit together.
//!
//! Each part reports its own faults and gives what it could make of the rest, so that one bad entry is one fault and not a
//! cascade: a route may name a model whose own entry is at fault.

mod arms;
mod budgets;
mod cache;
mod calls;
mod experiments;
mod joining;
mod judge;
mod providers;
mod restart;
mod routes;
mod sections;
mod tls;

use std::path::Path;

use super::Env;
use super::catalog::BuiltInCatalog;
use super::raw::RawConfig;
use super::read::{At, Place, Source};
use super::settings::Settings;

use arms::Arms;

/// What the checks look things up in.
pub(super) struct Check<'a> {
    pub(super) source: &'a Source,
    pub(super) env: Env<'a>,
    pub(super) catalog: &'a BuiltInCatalog,
    /// Folder that relative paths count from.
    pub(super) folder: &'a Path,
}

/// The one schema that this version reads.
const SCHEMA_VERSION: u64 = 1;

impl Check<'_> {
    /// All settings as far as they are sound; only good when `source` has no fault afterwards.
    pub(super) fn settings(&self, raw: &RawConfig) -> Settings {
        self.schema_version(raw.schema_version.as_ref());
        let providers = self.providers(&raw.providers);
        let mut arms = Arms::check(self, &raw.models, &providers);
        let routes = self.routes(&raw.routes, &mut arms);
        let priors = self.priors(&raw.models, &arms);
        let draining = self.draining(&raw.models, &routes);
        let judge = raw.judge.as_ref().and_then(|raw| self.judge(raw, &mut arms, &routes));
        let experiment = self.experiment(&raw.experiments, &routes);
        let (catalog, prices_from) = arms.into_catalog();
        let comparable_usd = self.comparable_usd(&raw.models, &catalog);
        Settings {
            hash: String::new(),
            server: self.server(&raw.server),
            tls: raw.server.tls.as_ref().and_then(|tls| self.tls(tls)),
            store: self.store(&raw.store),
            embedder: self.embedder(&raw.embedder),
            learning: self.learning(&raw.learning),
            judge,
            cache: self.cache(raw),
            experiment,
            providers: providers.into_settings(),
            catalog,
            prices_from,
            comparable_usd,
            priors,
            draining,
            routes,
            budgets: self.budget_plan(raw),
        }
    }

    fn schema_version(&self, found: Option<&At<u64>>) {
        let place = Place::absent("schema_version");
        match found {
            Some(v) if v.value == SCHEMA_VERSION => {}
            Some(v) => self.source.fault(
                &v.place,
                format!(
                    "is {}, this version reads {SCHEMA_VERSION}; write `schema_version = {SCHEMA_VERSION}`",
                    v.value
                ),
            ),
            None if self.source.has_fault_at(&place.path) => {}
            None => self.source.fault(
                &place,
                format!("is missing; write `schema_version = {SCHEMA_VERSION}` in the first line"),
            ),
        }
    }

    /// The value of `key` below `place`, and a fault when it is absent.
    fn required<'v, T>(
        &self,
        value: Option<&'v At<T>>,
        place: &Place,
        key: &str,
        advice: &str,
    ) -> Option<&'v At<T>> {
        let own = place.join(key);
        if value.is_none() && !self.source.has_fault_at(&own.path) {
            self.source.fault(&own, format!("is missing; {advice}"));
        }
        value
    }
}
