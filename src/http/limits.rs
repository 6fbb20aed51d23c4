//! Requests in flight are bounded: in all (503) and per client key (429). What is over a bound is shed here and nowhere later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Api;
use super::error::HttpError;
use crate::domain::KeyId;
use crate::telemetry::Shed;

/// Operators must be able to look when clients cannot be served.
const NEVER_SHED: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// Places for requests.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    /// Requests in flight by key; a key without any is not in it.
    by_key: Mutex<HashMap<KeyId, usize>>,
    most_per_key: usize,
}

impl Places {
    /// `most` in all, `most_per_key` of one client key.
    pub fn new(most: usize, most_per_key: usize) -> Self {
        let all = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { all, by_key: Mutex::default(), most_per_key }
    }

    fn enter(self: &Arc<Self>, key: &KeyId) -> Option<KeyPlace> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = by_key.entry(key.clone()).or_default();
        if *taken >= self.most_per_key {
            return None;
        }
        *taken += 1;
        Some(KeyPlace { places: Arc::clone(self), key: key.clone() })
    }

    fn leave(&self, key: &KeyId) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = by_key.get_mut(key) {
            *taken -= 1;
            if *taken == 0 {
                by_key.remove(key);
            }
        }
    }
}

/// One request's place among those of its key.
struct KeyPlace {
    places: Arc<Places>,
    key: KeyId,
}

impl Drop for KeyPlace {
    fn drop(&mut self) {
        self.places.leave(&self.key);
    }
}

/// Whether a request of this path counts and can be turned away.
pub(super) fn is_shed(request: &Request) -> bool {
    let path = request.uri().path();
    !NEVER_SHED.contains(&path) && !path.starts_with("/admin/")
}

/// A place among all requests.
///
/// # Errors
/// When none is left.
pub(super) fn of_all(api: &Api) -> Result<OwnedSemaphorePermit, HttpError> {
    Arc::clone(&api.places.all).try_acquire_owned().map_err(|_| {
        api.service().metrics.shed(Shed::Service);
        HttpError::overloaded()
    })
}

/// A place among those of one key.
///
/// # Errors
/// When none is left.
pub(super) fn of_key(api: &Api, key: &KeyId) -> Result<impl Send + use<>, HttpError> {
    api.places.enter(key).ok_or_else(|| {
        api.service().metrics.shed(Shed::Key);
        HttpError::too_many_of_key(api.places.most_per_key)
    })
}

/// A stream keeps its place until its last event, or until the client leaves.
pub(super) fn holding(response: Response, place: impl Send + 'static) -> Response {
    let is_stream = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t == "text/event-stream");
    if !is_stream {
        return response;
    }
    let (parts, body) = response.into_parts();
    let held = body.into_data_stream().inspect(move |_| {
        let _held = &place;
    });
    Response::from_parts(parts, Body::from_stream(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o1_a_key_has_its_own_places_and_gives_them_back() {
        let places = Arc::new(Places::new(10, 2));
        let (a, b) = (KeyId::from("a"), KeyId::from("b"));
        let (one, two) = (places.enter(&a), places.enter(&a));
        assert!(one.is_some() && two.is_some() && places.enter(&a).is_none());
        assert!(places.enter(&b).is_some());
        drop(one);
        assert!(places.enter(&a).is_some());
        drop(two);
        assert!(places.by_key.lock().unwrap().is_empty(), "idle keys are forgotten");
    }
}
