//! Which configuration is in force, and what became of attempts to change it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, ResultLabel};

/// What became of a configuration that was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReloadResult {
    /// It is in force.
    Applied,
    /// It was at fault, and what was in force before is so still.
    Refused,
}

impl ReloadResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HashLabel {
    hash: String,
}

/// The part of the metrics that is about the configuration.
#[derive(Debug, Default)]
pub(super) struct Config {
    reloads: Family<ResultLabel, Counter>,
    in_force: Family<HashLabel, Gauge>,
}

impl Config {
    pub(super) fn register(&self, r: &mut Registry) {
        let help = "Attempts to change the configuration of the running service";
        r.register("config_reloads", help, self.reloads.clone());
        let help = "1 for the configuration in force, by the beginning of the SHA-256 of its text";
        r.register("config_info", help, self.in_force.clone());
    }
}

impl Metrics {
    /// The configuration was read again.
    pub fn reload(&self, result: ReloadResult) {
        self.config.reloads.get_or_create(&ResultLabel { result: result.as_str() }).inc();
    }

    /// The configuration in force.
    pub fn config(&self, hash: &str) {
        self.config.in_force.clear();
        self.config.in_force.get_or_create(&HashLabel { hash: hash.to_owned() }).set(1);
    }
}
