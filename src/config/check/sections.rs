//! `[server]`, `[store]`, `[embedder]`, `[learning]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Check;
use crate::config::raw::{RawEmbedder, RawLearning, RawServer, RawStore};
use crate::config::read::{At, Place};
use crate::config::settings::{
    EmbedderKind, EmbedderSettings, EmbedderWeights, LearningSettings, ServerSettings, StorePrompts,
    StoreSettings,
};
use crate::config::suggest::hint;
use crate::policy::GuardSettings;
use crate::store::{PASSWORD_ENV, StoreAddress};

/// Overrides `server.listen`.
pub(crate) const LISTEN_ENV: &str = "POINTSMAN_LISTEN";

fn size(value: Option<&At<u64>>, default: usize) -> usize {
    value.and_then(|v| usize::try_from(v.value).ok()).unwrap_or(default)
}

pub(super) fn millis(value: Option<&At<u64>>, default: Duration) -> Duration {
    value.map_or(default, |v| Duration::from_millis(v.value))
}

impl Check<'_> {
    pub(super) fn learning(&self, raw: &RawLearning) -> LearningSettings {
        let default = LearningSettings::default();
        let count = |value: &Option<At<u64>>, default| value.as_ref().map_or(default, |v| v.value);
        let window = raw.feedback_window_hours.as_ref().map(|hours| hours.value);
        LearningSettings {
            publish_every_events: count(&raw.publish_every_events, default.publish_every_events),
            publish_within: millis(raw.publish_within_ms.as_ref(), default.publish_within),
            checkpoint_every_events: count(&raw.checkpoint_every_events, default.checkpoint_every_events),
            feedback_window: match window {
                None => default.feedback_window,
                Some(0) => None,
                Some(hours) => Some(Duration::from_secs(hours * 3600)),
            },
            guard: self.guard(raw, default.guard),
            implicit: raw.implicit.as_ref().map_or(default.implicit, |v| v.value),
        }
    }

    fn guard(&self, raw: &RawLearning, default: GuardSettings) -> GuardSettings {
        let guard = GuardSettings {
            key_share: raw.key_share.as_ref().map_or(default.key_share, |v| v.value),
            trust: raw.key_trust.as_ref().map_or(default.trust, |v| v.value),
        };
        if let Some(share) = raw.key_share.as_ref().filter(|_| !guard.is_sound()) {
            let message = format!("must be above 0 and at most 1 (1: no bound), got {}", share.value);
            self.source.fault(&share.place, message);
        }
        guard
    }

    pub(super) fn server(&self, raw: &RawServer) -> ServerSettings {
        let default = ServerSettings::default();
        let written = raw.listen.clone().and_then(|listen| self.listen(&listen));
        let place = Place::absent(LISTEN_ENV);
        let overriding = self.secret(LISTEN_ENV).and_then(|value| self.listen(&At { value, place }));
        ServerSettings {
            listen: overriding.or(written).unwrap_or(default.listen),
            admin_listen: raw.admin_listen.as_ref().and_then(|listen| self.listen(listen)),
            max_body_bytes: size(raw.max_body_bytes.as_ref(), default.max_body_bytes),
            max_connections: size(raw.max_connections.as_ref(), default.max_connections),
            max_in_flight_per_key: size(raw.max_in_flight_per_key.as_ref(), default.max_in_flight_per_key),
            max_open_connections: size(raw.max_open_connections.as_ref(), default.max_open_connections),
            header_timeout: millis(raw.header_timeout_ms.as_ref(), default.header_timeout),
            body_timeout: millis(raw.body_timeout_ms.as_ref(), default.body_timeout),
            write_timeout: millis(raw.write_timeout_ms.as_ref(), default.write_timeout),
            keep_alive: millis(raw.keep_alive_ms.as_ref(), default.keep_alive),
            shutdown_grace: millis(raw.shutdown_grace_ms.as_ref(), default.shutdown_grace),
        }
    }

    fn listen(&self, listen: &At<String>) -> Option<SocketAddr> {
        let text = listen.value.replacen("localhost:", "127.0.0.1:", 1);
        let address = text.parse().ok();
        if address.is_none() {
            let message =
                format!("{:?} is no address; write IP:PORT, for example \"127.0.0.1:8080\"", listen.value);
            self.source.fault(&listen.place, message);
        }
        address
    }

    pub(in crate::config) fn store(&self, raw: &RawStore) -> StoreSettings {
        let default = StoreSettings::default();
        let address = raw.url.as_ref().and_then(|url| self.address(url)).unwrap_or(default.address);
        let address = match address {
            StoreAddress::File(path) => self.folder.join(path).into(),
            elsewhere @ StoreAddress::Postgres(_) => elsewhere,
        };
        let store_prompts = raw.store_prompts.as_ref().map(|mode| self.store_prompts(mode));
        StoreSettings { address, store_prompts: store_prompts.unwrap_or_default() }
    }

    fn address(&self, url: &At<String>) -> Option<StoreAddress> {
        if !StoreAddress::is_postgres(&url.value) {
            return self.sqlite_path(url).map(StoreAddress::File);
        }
        let password = self.secret(PASSWORD_ENV);
        StoreAddress::named(&url.value, password.as_deref())
            .map_err(|message| self.source.fault(&url.place, message))
            .ok()
    }

    fn sqlite_path(&self, url: &At<String>) -> Option<PathBuf> {
        let text = url.value.as_str();
        let fault = |message: &str| self.source.fault(&url.place, message);
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        match path {
            None => fault(
                "must start with `sqlite:` or `postgres://`; write for example `url = \"sqlite:pointsman.db\"`, or for several \
                 replicas `url = \"postgres://USER@HOST/DATABASE\"`",
            ),
            Some("" | ":memory:") => fault("must name a file, for example `url = \"sqlite:pointsman.db\"`"),
            Some(path) if path.contains('?') => fault("takes no options after `?`; name the file alone"),
            Some(path) => return Some(PathBuf::from(path)),
        }
        None
    }

    fn store_prompts(&self, mode: &At<String>) -> StorePrompts {
        match mode.value.as_str() {
            "none" => StorePrompts::None,
            "preview" => StorePrompts::Preview,
            "full" => StorePrompts::Full,
            other => {
                self.unknown_word(mode, other, &["none", "preview", "full"]);
                StorePrompts::None
            }
        }
    }

    /// A fault for a word that is none of `known`.
    pub(super) fn unknown_word(&self, at: &At<String>, found: &str, known: &[&str]) {
        let list = known.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(", ");
        let hint = hint(found, known.iter().copied());
        self.source.fault(&at.place, format!("{found:?} is none of {list}{hint}"));
    }

    pub(super) fn embedder(&self, raw: &RawEmbedder) -> EmbedderSettings {
        let default = EmbedderSettings::default();
        let kind = raw.kind.as_ref().map_or(default.kind, |kind| self.embedder_kind(kind));
        EmbedderSettings {
            kind,
            weights: raw.weights.as_ref().map_or(EmbedderWeights::BuiltIn, |folder| self.weights(folder)),
            deadline: millis(raw.deadline_ms.as_ref(), kind.deadline()),
            threads: size(raw.threads.as_ref(), default.threads),
            max_tokens: size(raw.max_tokens.as_ref(), default.max_tokens),
            queue: size(raw.queue.as_ref(), default.queue),
            cache_entries: raw.cache_entries.as_ref().map_or(default.cache_entries, |v| v.value),
        }
    }

    fn embedder_kind(&self, kind: &At<String>) -> EmbedderKind {
        match kind.value.as_str() {
            "adaptive" => return EmbedderKind::Adaptive,
            "minilm" => return EmbedderKind::MiniLm,
            "student" => return EmbedderKind::Student,
            "static" => self.source.fault(
                &kind.place,
                "\"static\" is not supported in this version; write `kind = \"student\"`, a table as well",
            ),
            other => self.unknown_word(kind, other, &["adaptive", "minilm", "student"]),
        }
        EmbedderKind::default()
    }

    fn weights(&self, folder: &At<String>) -> EmbedderWeights {
        if folder.value == "built-in" {
            return EmbedderWeights::BuiltIn;
        }
        let path = self.folder.join(&folder.value);
        if !path.is_dir() {
            let message = format!(
                "{} is no folder; name the folder with the encoder's files, or write \"built-in\"",
                path.display()
            );
            self.source.fault(&folder.place, message);
        }
        EmbedderWeights::Folder(path)
    }

    /// A variable of the environment; an empty one counts as absent.
    pub(super) fn secret(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }
}
