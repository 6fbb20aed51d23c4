//! How a key is presented: what is taken for it is part of what was sent, and never empty.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use pointsman::http::parts;

fuzz_target!(|data: &[u8]| {
    let Some((which, value)) = data.split_first() else { return };
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(if which % 2 == 0 { "authorization" } else { "x-api-key" }, value.clone());
    let Some(key) = parts::presented_key(&headers) else { return };
    assert!(!key.is_empty());
    assert!(value.to_str().expect("it was read as text").ends_with(key) || which % 2 == 0);
});
