//! `Retry-After` and `retry-after-ms`: a bounded wait, or none.
#![no_main]

use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pointsman::provider::retry_after;

fuzz_target!(|data: &[u8]| {
    let Some((which, value)) = data.split_first() else { return };
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(if which % 2 == 0 { "retry-after" } else { "retry-after-ms" }, value);
    let now = Timestamp::from_second(1_764_000_000).expect("a time");
    assert!(retry_after(&headers, now).is_none_or(|wait| wait.as_secs() <= 300));
});
