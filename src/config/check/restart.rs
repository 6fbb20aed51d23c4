//! What a running service cannot take over from another configuration.

use super::Check;
use crate::config::raw::RawConfig;
use crate::config::read::{At, Place};
use crate::config::settings::Settings;

fn at<T>(value: &Option<At<T>>) -> Option<&Place> {
    value.as_ref().map(|value| &value.place)
}

impl Check<'_> {
    /// A fault for each key whose value holds for the life of a process and is not what it is in `before`.
    pub(in crate::config) fn needs_no_restart(&self, raw: &RawConfig, before: &Settings, now: &Settings) {
        self.server_stays(raw, before, now);
        self.store_and_embedder_stay(raw, before, now);
        self.learning_stays(raw, before, now);
        let place = raw.judge.as_ref().map(|judge| &judge.place);
        self.stays("judge", place, before.judge == now.judge);
        let place = raw.experiments.first().map(|experiment| &experiment.place);
        self.stays("experiments", place, now.experiment.is_none() || before.experiment == now.experiment);
    }

    fn server_stays(&self, raw: &RawConfig, before: &Settings, now: &Settings) {
        let (raw, old, new) = (&raw.server, &before.server, &now.server);
        let stays = |key: &str, place, same| self.stays(&format!("server.{key}"), place, same);
        stays("listen", at(&raw.listen), old.listen == new.listen);
        stays("admin_listen", at(&raw.admin_listen), old.admin_listen == new.admin_listen);
        let place = raw.tls.as_ref().map(|tls| &tls.place);
        stays("tls", place, before.tls.is_some() == now.tls.is_some());
        stays("max_body_bytes", at(&raw.max_body_bytes), old.max_body_bytes == new.max_body_bytes);
        stays("max_connections", at(&raw.max_connections), old.max_connections == new.max_connections);
        let same = old.max_in_flight_per_key == new.max_in_flight_per_key;
        stays("max_in_flight_per_key", at(&raw.max_in_flight_per_key), same);
        let same = old.max_open_connections == new.max_open_connections;
        stays("max_open_connections", at(&raw.max_open_connections), same);
        stays("header_timeout_ms", at(&raw.header_timeout_ms), old.header_timeout == new.header_timeout);
        stays("body_timeout_ms", at(&raw.body_timeout_ms), old.body_timeout == new.body_timeout);
        stays("write_timeout_ms", at(&raw.write_timeout_ms), old.write_timeout == new.write_timeout);
        stays("keep_alive_ms", at(&raw.keep_alive_ms), old.keep_alive == new.keep_alive);
        stays("shutdown_grace_ms", at(&raw.shutdown_grace_ms), old.shutdown_grace == new.shutdown_grace);
    }

    fn store_and_embedder_stay(&self, raw: &RawConfig, before: &Settings, now: &Settings) {
        self.stays("store.url", at(&raw.store.url), before.store.address == now.store.address);
        let (raw, old, new) = (&raw.embedder, &before.embedder, &now.embedder);
        let stays = |key: &str, place, same| self.stays(&format!("embedder.{key}"), place, same);
        // The time that a kind allows when nothing is written is no change of its own.
        let deadline = old.deadline == new.deadline || raw.deadline_ms.is_none() && old.kind != new.kind;
        stays("kind", at(&raw.kind), old.kind == new.kind);
        stays("weights", at(&raw.weights), old.weights == new.weights);
        stays("deadline_ms", at(&raw.deadline_ms), deadline);
        stays("threads", at(&raw.threads), old.threads == new.threads);
        stays("max_tokens", at(&raw.max_tokens), old.max_tokens == new.max_tokens);
        stays("queue", at(&raw.queue), old.queue == new.queue);
        stays("cache_entries", at(&raw.cache_entries), old.cache_entries == new.cache_entries);
    }

    fn learning_stays(&self, raw: &RawConfig, before: &Settings, now: &Settings) {
        let (raw, old, new) = (&raw.learning, &before.learning, &now.learning);
        let stays = |key: &str, place, same| self.stays(&format!("learning.{key}"), place, same);
        let same = old.publish_every_events == new.publish_every_events;
        stays("publish_every_events", at(&raw.publish_every_events), same);
        stays("publish_within_ms", at(&raw.publish_within_ms), old.publish_within == new.publish_within);
        let same = old.checkpoint_every_events == new.checkpoint_every_events;
        stays("checkpoint_every_events", at(&raw.checkpoint_every_events), same);
        let same = old.feedback_window == new.feedback_window;
        stays("feedback_window_hours", at(&raw.feedback_window_hours), same);
        stays("key_share", at(&raw.key_share), old.guard.key_share == new.guard.key_share);
        stays("key_trust", at(&raw.key_trust), old.guard.trust == new.guard.trust);
        stays("implicit", at(&raw.implicit), old.implicit == new.implicit);
    }

    fn stays(&self, key: &str, place: Option<&Place>, is_same: bool) {
        let place = place.cloned().unwrap_or_else(|| Place::absent(key));
        if !is_same && !self.source.has_fault_at(&place.path) {
            let message = "was changed, which needs a restart; put the old value back to have the rest of the file taken over now";
            self.source.fault(&place, message);
        }
    }
}
