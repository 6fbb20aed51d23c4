//! Headers in and out.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::extract::Request;
use axum::http::header::InvalidHeaderValue;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use uuid::Uuid;

use super::error::HttpError;
use super::{Api, auth};
use crate::domain::Weights;
use crate::service::{CacheControl, Caller, Head};
use crate::telemetry::RequestEnd;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Who keeps a conversation together, first wins.
const SESSION_HEADERS: &[&str] = &["x-session-id", "x-claude-code-session-id", "x-session-affinity"];
const LONGEST_REQUEST_ID: usize = 128;
/// Headers that we add to an answer, and a few of whoever comes after.
const MOST_SET: usize = 16;
/// Paths whose answers are counted.
const COUNTED: &[&str] =
    &["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions", "/v1/route"];

/// One request, from its head to that of its answer.
pub(super) struct Watch {
    started: Instant,
    id: Option<HeaderValue>,
    is_counted: bool,
}

impl Watch {
    /// Takes the client's own `x-request-id` when it is sane, else makes one.
    pub(super) fn begin(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|v| is_sane(v)).cloned();
        Self {
            started: Instant::now(),
            id: given.or_else(|| Uuid::now_v7().to_string().try_into().ok()),
            is_counted: COUNTED.contains(&request.uri().path()),
        }
    }

    /// Gives the answer the id and counts it.
    pub(super) fn end(self, api: &Api, mut response: Response) -> Response {
        if let Some(id) = self.id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if self.is_counted {
            let head = response.extensions().get::<Head>();
            api.service().metrics.request(&RequestEnd {
                route: head.map(|h| h.route.as_str()),
                decided: head.map(|h| (h.strategy, h.reason)),
                status: response.status().as_u16(),
                took: self.started.elapsed(),
            });
        }
        response
    }
}

fn is_sane(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(b);
    !bytes.is_empty() && bytes.len() <= LONGEST_REQUEST_ID && bytes.iter().all(plain)
}

/// Reads what a client says of itself in headers.
///
/// # Errors
/// When `x-pointsman-weights`, `x-pointsman-max-cost-usd` or `x-pointsman-tags` cannot be read.
pub(super) fn caller(headers: &HeaderMap, key: &auth::Caller) -> Result<Caller, HttpError> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    Ok(Caller {
        key: key.id().cloned(),
        routes: key.key.as_ref().and_then(|key| key.terms.routes.clone()),
        meter: key.meter.clone(),
        cache: cache_control(headers),
        session: SESSION_HEADERS.iter().find_map(|name| text(name)).map(str::to_owned),
        weights: text("x-pointsman-weights").map(weights).transpose()?,
        max_cost_usd: text("x-pointsman-max-cost-usd").map(max_cost).transpose()?,
        tags: text("x-pointsman-tags").map(tags).transpose()?.unwrap_or_default(),
    })
}

/// What a client allows the response cache.
fn cache_control(headers: &HeaderMap) -> CacheControl {
    let lines = headers.get_all("cache-control").iter().filter_map(|v| v.to_str().ok());
    let mut allowed = CacheControl::default();
    for word in lines.flat_map(|line| line.split(',')).map(str::trim) {
        let is = |name| word.eq_ignore_ascii_case(name);
        allowed.keep &= !is("no-store");
        allowed.read &= !is("no-store") && !is("no-cache");
    }
    allowed
}

fn weights(text: &str) -> Result<Weights, HttpError> {
    const MUST: &str = "must look like quality=0.7,cost=0.2,latency=0.1";
    let fault = |why: String| HttpError::invalid_field("x-pointsman-weights", why);
    let (mut quality, mut cost, mut latency) = (0.0, 0.0, 0.0);
    for (name, value) in pairs(text).ok_or_else(|| fault(MUST.into()))? {
        let number: f64 = value.parse().map_err(|_| fault(format!("{MUST}: {value:?} is not a number")))?;
        match name {
            "quality" => quality = number,
            "cost" => cost = number,
            "latency" => latency = number,
            other => return Err(fault(format!("{MUST}: there is no weight {other:?}"))),
        }
    }
    Weights::new(quality, cost, latency)
        .map_err(|e| fault(format!("{} must be {}, got {}", e.field, e.must, e.got)))
}

fn max_cost(text: &str) -> Result<f64, HttpError> {
    text.trim().parse().map_err(|_| {
        HttpError::invalid_field("x-pointsman-max-cost-usd", format!("must be a number of USD, got {text:?}"))
    })
}

fn tags(text: &str) -> Result<BTreeMap<String, String>, HttpError> {
    let found = pairs(text).ok_or_else(|| {
        HttpError::invalid_field("x-pointsman-tags", "must look like feature=search,team=core".into())
    })?;
    Ok(found.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// `a=1,b=2`; `None` when a part has no `=`.
fn pairs(text: &str) -> Option<Vec<(&str, &str)>> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').map(|(k, v)| (k.trim(), v.trim())))
        .collect()
}

/// Writes what every answer says about its decision.
pub(super) fn put(head: &Head, response: &mut Response) {
    response.extensions_mut().insert(head.clone());
    let headers = response.headers_mut();
    // Once for all of ours, instead of growing and hashing anew on the way.
    headers.reserve(MOST_SET);
    let mut set = |name: &'static str, value: Result<HeaderValue, InvalidHeaderValue>| {
        if let Ok(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-pointsman-decision-id", head.decision.to_string().try_into());
    set("x-pointsman-model", HeaderValue::from_str(head.model.as_str()));
    set("x-pointsman-route", HeaderValue::from_str(head.route.as_str()));
    set("x-pointsman-strategy", Ok(HeaderValue::from_static(head.strategy.as_str())));
    set("x-pointsman-policy", HeaderValue::from_str(head.policy.as_str()));
    set("x-pointsman-reason", Ok(HeaderValue::from_static(head.reason.as_str())));
    set("x-pointsman-attempts", Ok(head.attempts.into()));
    if let Some(cache) = head.cache {
        set("x-pointsman-cache", Ok(HeaderValue::from_static(cache.as_str())));
    }
    if let Some(cost) = head.cost_usd {
        set("x-pointsman-cost-usd", cost.to_string().try_into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_or_refused_by_name() {
        let w = weights("quality=0.5, cost=0.5").unwrap();
        assert_eq!((w.quality(), w.cost(), w.latency()), (0.5, 0.5, 0.0));
        for bad in ["0.7", "quality=x", "speed=1", "cost=1", "quality=NaN"] {
            assert!(weights(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cache_control_is_obeyed_in_any_spelling() {
        let allowed = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append("cache-control", HeaderValue::from_static(text));
            let CacheControl { read, keep } = cache_control(&headers);
            (read, keep)
        };
        assert_eq!(allowed("max-age=0, No-Store"), (false, false));
        assert_eq!(allowed("no-cache"), (false, true));
        assert_eq!(allowed("max-age=60"), (true, true));
    }

    #[test]
    fn only_a_sane_request_id_is_taken_over() {
        assert!(is_sane(&HeaderValue::from_static("req-1.A:b/c_d")));
        assert!(!is_sane(&HeaderValue::from_static("")));
        assert!(!is_sane(&HeaderValue::from_static("a b")));
        assert!(!is_sane(&HeaderValue::from_str(&"x".repeat(129)).unwrap()));
    }
}
