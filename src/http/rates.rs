//! What a minute allows a client key: requests are counted here, tokens where the prompt is known. Answers say how the limits stand, in
//! the headers that OpenAI has for it.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

use super::Api;
use crate::service::Meter;
use crate::store::KeyRow;

/// Paths whose requests are counted.
const METERED: &[&str] = &[
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/route",
];
/// How often the SDKs of OpenAI and Anthropic have sent a request already.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// What counts the key's requests; `None`: it has no limits, or nothing is counted on this path.
pub(super) fn meter(api: &Api, key: &KeyRow, request: &Request) -> Option<Arc<Meter>> {
    if !METERED.contains(&request.uri().path()) {
        return None;
    }
    if request.headers().get(RETRY_COUNT).is_some_and(|count| count != "0") {
        api.service().metrics.client_retry(&key.id);
    }
    api.service().rates.meter(&key.id, key.terms.rate)
}

/// Writes how the limits stand.
pub(super) fn tell(meter: &Meter, response: &mut Response) {
    for standing in meter.standing() {
        let kind = standing.kind.as_str();
        let mut set = |what: &str, value: String| {
            let name = HeaderName::try_from(format!("x-ratelimit-{what}-{kind}"));
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        };
        set("limit", standing.limit.to_string());
        set("remaining", standing.remaining.to_string());
        set("reset", span(standing.reset_ms));
    }
}

/// `6m0s`, `1.5s`, `120ms`: as OpenAI writes times.
fn span(ms: u64) -> String {
    let seconds = (ms % 60_000) as f64 / 1e3;
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{seconds}s"),
        _ => format!("{}m{}s", ms / 60_000, seconds.round()),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times_are_written_as_openai_does() {
        let written: Vec<_> = [0, 120, 1_000, 8_640, 360_000, 61_400].map(span).into();
        assert_eq!(written, ["0ms", "120ms", "1s", "8.64s", "6m0s", "1m1s"]);
    }
}
