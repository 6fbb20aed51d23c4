//! `[server]`

use super::DAY_MS;
use crate::config::read::{At, Place, Section};

pub(in crate::config) struct RawServer {
    pub(in crate::config) listen: Option<At<String>>,
    pub(in crate::config) admin_listen: Option<At<String>>,
    pub(in crate::config) tls: Option<RawTls>,
    pub(in crate::config) max_body_bytes: Option<At<u64>>,
    pub(in crate::config) max_connections: Option<At<u64>>,
    pub(in crate::config) max_in_flight_per_key: Option<At<u64>>,
    pub(in crate::config) max_open_connections: Option<At<u64>>,
    pub(in crate::config) header_timeout_ms: Option<At<u64>>,
    pub(in crate::config) body_timeout_ms: Option<At<u64>>,
    pub(in crate::config) write_timeout_ms: Option<At<u64>>,
    pub(in crate::config) keep_alive_ms: Option<At<u64>>,
    pub(in crate::config) shutdown_grace_ms: Option<At<u64>>,
}

impl RawServer {
    pub(super) fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            listen: keys.text("listen"),
            admin_listen: keys.text("admin_listen"),
            tls: RawTls::read(keys.section("tls")),
            max_body_bytes: keys.whole("max_body_bytes", 1024, 1 << 30),
            max_connections: keys.whole("max_connections", 1, 1_000_000),
            max_in_flight_per_key: keys.whole("max_in_flight_per_key", 1, 1_000_000),
            max_open_connections: keys.whole("max_open_connections", 1, 10_000_000),
            header_timeout_ms: keys.whole("header_timeout_ms", 1, DAY_MS),
            body_timeout_ms: keys.whole("body_timeout_ms", 1, DAY_MS),
            write_timeout_ms: keys.whole("write_timeout_ms", 1, DAY_MS),
            keep_alive_ms: keys.whole("keep_alive_ms", 1, DAY_MS),
            shutdown_grace_ms: keys.whole("shutdown_grace_ms", 0, DAY_MS),
        };
        keys.finish();
        raw
    }
}

pub(in crate::config) struct RawTls {
    pub(in crate::config) place: Place,
    pub(in crate::config) cert: Option<At<String>>,
    pub(in crate::config) key: Option<At<String>>,
}

impl RawTls {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| Self {
            place: keys.place().clone(),
            cert: keys.text("cert"),
            key: keys.text("key"),
        });
        keys.finish();
        raw
    }
}
