//! What is known of upstreams at the moment: breakers, calls in flight, second attempts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArmLabel {
    arm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabel {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabel {
    result: &'static str,
}

/// Whose bound turned a request away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shed {
    /// The whole service's.
    Service,
    /// The client key's.
    Key,
    /// What a minute allows the client key.
    Rate,
    /// The listener's, on connections.
    Connection,
}

impl Shed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Key => "key",
            Self::Rate => "rate",
            Self::Connection => "connection",
        }
    }
}

/// The part of the metrics that is about load and upstreams.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    breaker: Family<ArmLabel, Gauge>,
    in_flight: Family<ProviderLabel, Gauge>,
    retries: Family<ArmLabel, Counter>,
    retries_refused: Family<ProviderLabel, Counter>,
    shed: Family<ShedLabel, Counter>,
    client_retries: Family<KeyLabel, Counter>,
    cache: Family<CacheLabel, Counter>,
    cache_entries: Gauge,
    cache_bytes: Gauge,
}

impl Upstreams {
    pub(super) fn register(&self, r: &mut Registry) {
        let help = "What a model's breaker does: 0 closed, 1 half-open, 2 open";
        r.register("breaker", help, self.breaker.clone());
        r.register("provider_in_flight", "Calls of a provider in flight", self.in_flight.clone());
        r.register("retries", "Second attempts at the same model", self.retries.clone());
        let help = "Second attempts that were not made: the provider's budget for them was used up";
        r.register("retries_refused", help, self.retries_refused.clone());
        r.register("shed", "Requests and connections turned away, by whose bound", self.shed.clone());
        let help = "Requests that a client says it sends again, by its key";
        r.register("client_retries", help, self.client_retries.clone());
        let help = "Requests that the response cache was looked through for, by what was found";
        r.register("response_cache", help, self.cache.clone());
        r.register("response_cache_entries", "Answers that are kept", self.cache_entries.clone());
        r.register("response_cache_bytes", "Bytes of the answers that are kept", self.cache_bytes.clone());
    }

    pub(super) fn breaker(&self, arm: String, state: i64) {
        self.breaker.get_or_create(&ArmLabel { arm }).set(state);
    }

    pub(super) fn provider(&self, provider: &str, in_flight: usize, retries_refused_total: u64) {
        let label = ProviderLabel { provider: provider.to_owned() };
        self.in_flight.get_or_create(&label).set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        let refused = self.retries_refused.get_or_create(&label);
        refused.inner().fetch_max(retries_refused_total, std::sync::atomic::Ordering::Relaxed);
    }

    pub(super) fn retry(&self, arm: String) {
        self.retries.get_or_create(&ArmLabel { arm }).inc();
    }

    pub(super) fn cache(&self, result: &'static str) {
        self.cache.get_or_create(&CacheLabel { result }).inc();
    }

    pub(super) fn cache_size(&self, entries: u64, bytes: u64) {
        self.cache_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn client_retry(&self, key: &str) {
        self.client_retries.get_or_create(&KeyLabel { key: key.to_owned() }).inc();
    }

    pub(super) fn shed(&self, shed: Shed) {
        self.shed.get_or_create(&ShedLabel { why: shed.as_str() }).inc();
    }
}
