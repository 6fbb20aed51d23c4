//! `[cache]`: how long answers are kept, and how many.

use std::time::Duration;

use super::Check;
use crate::config::raw::RawConfig;
use crate::domain::RouteName;
use crate::service::CacheSettings;

/// Seconds for which an answer is kept, and MiB of all, when nothing is said.
const TTL_S: u64 = 3600;
const MAX_MIB: u64 = 64;

impl Check<'_> {
    pub(super) fn cache(&self, raw: &RawConfig) -> Option<CacheSettings> {
        let Some(cache) = &raw.cache else {
            for wants in raw.routes.iter().filter_map(|r| r.cache.as_ref()).filter(|c| c.value) {
                let message = "there is no cache; add `[cache]` with `ttl_s` and `max_mib`, or remove this";
                self.source.fault(&wants.place, message);
            }
            return None;
        };
        let off = raw.routes.iter().filter(|r| r.cache.as_ref().is_some_and(|c| !c.value));
        Some(CacheSettings {
            ttl: Duration::from_secs(cache.ttl_s.as_ref().map_or(TTL_S, |v| v.value)),
            max_bytes: cache.max_mib.as_ref().map_or(MAX_MIB, |v| v.value) << 20,
            without: off.map(|r| RouteName::from(r.name.as_str())).collect(),
        })
    }
}
