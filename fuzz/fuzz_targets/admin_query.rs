//! Queries of `/admin/stats` and `/admin/audit`: a bounded list, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::http::parts;

fuzz_target!(|data: &[u8]| {
    let Ok(query) = std::str::from_utf8(data) else { return };
    match parts::stats_query(query) {
        Ok((hours, groupings)) => assert!((1..=744).contains(&hours) && (1..=5).contains(&groupings)),
        Err(status) => assert!((400..500).contains(&status)),
    }
    match parts::audit_query(query) {
        Ok((rows, before)) => assert!((1..=1000).contains(&rows) && before.is_none_or(|row| row > 0)),
        Err(status) => assert!((400..500).contains(&status)),
    }
});
