//! Weak reports from behaviour, when the operator wants them: the same ask again within a minute, and a stream that its client breaks
//! off. Never for an answer that failed on our side or the provider's, and never while the service stops.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::feedback::outcome;
use crate::domain::{CompletionEnd, Decision, DecisionId, FeedbackRef, KeyId, Source};
use crate::store::{NewFeedback, Report, Store};
use crate::telemetry::{FeedbackResult, Metrics};
use crate::wire::chat::ChatRequest;

/// Asks that are remembered.
const REMEMBERED: usize = 4096;
/// How soon the same ask counts as a retry.
const SOON: Duration = Duration::from_secs(60);
/// Quality and weight of what a retry and a break-off say; the source's own variance comes on top.
const RETRY: (f64, f64) = (0.0, 0.3);
const ABORT: (f64, f64) = (0.25, 0.2);

type Fingerprint = [u8; 16];

struct Asked {
    decision: DecisionId,
    at: Instant,
    answered: Arc<AtomicBool>,
}

#[derive(Default)]
struct Asks {
    last: HashMap<Fingerprint, Asked>,
    order: VecDeque<Fingerprint>,
}

/// Remembers recent asks, as hashes, in a bounded way.
pub struct Implicit {
    store: Store,
    metrics: Arc<Metrics>,
    asks: Mutex<Asks>,
    stopped: AtomicBool,
}

/// One completion that is watched.
pub(super) struct Watched {
    implicit: Arc<Implicit>,
    decision: DecisionId,
    key: Option<KeyId>,
    answered: Arc<AtomicBool>,
}

impl Implicit {
    /// Has seen nobody.
    pub fn new(store: Store, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, asks: Mutex::default(), stopped: AtomicBool::new(false) }
    }

    /// From now on nothing is reported: streams are broken off by us.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Notes an ask; when the same was answered a moment ago, that answer was not good enough.
    pub(super) fn watch(self: &Arc<Self>, request: &ChatRequest, decision: &Decision) -> Watched {
        let answered = Arc::new(AtomicBool::new(false));
        let asked = Asked { decision: decision.id, at: Instant::now(), answered: Arc::clone(&answered) };
        let retried = {
            let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
            asks.put(fingerprint(request, decision), asked)
        };
        if let Some(earlier) = retried
            && earlier.at.elapsed() <= SOON
            && earlier.answered.load(Ordering::Relaxed)
        {
            self.report(earlier.decision, decision.key.clone(), RETRY, "retry");
        }
        Watched { implicit: Arc::clone(self), decision: decision.id, key: decision.key.clone(), answered }
    }

    fn report(&self, decision: DecisionId, by: Option<KeyId>, (value, weight): (f64, f64), why: &str) {
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let comment = Some(why.to_owned());
        let report = Report { source: Source::Implicit, weight, comment, ..Report::quality(value) };
        let item = NewFeedback { to: FeedbackRef::Decision(decision), by, report, within_ms: None };
        let metrics = Arc::clone(&self.metrics);
        if self.store.try_feedback(item, move |result| metrics.feedback(outcome(&result))).is_err() {
            self.metrics.feedback(FeedbackResult::Unavailable);
        }
    }
}

impl Asks {
    /// The earlier ask with the same fingerprint.
    fn put(&mut self, fingerprint: Fingerprint, asked: Asked) -> Option<Asked> {
        let earlier = self.last.insert(fingerprint, asked);
        if earlier.is_none() {
            self.order.push_back(fingerprint);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        earlier
    }
}

impl Watched {
    /// How the completion ended; `begun`: content had gone out.
    pub(super) fn ended(&self, end: CompletionEnd, begun: bool) {
        match end {
            CompletionEnd::Complete => self.answered.store(true, Ordering::Relaxed),
            CompletionEnd::ClientAborted if begun => {
                self.implicit.report(self.decision, self.key.clone(), ABORT, "abort");
            }
            _ => {}
        }
    }
}

/// The whole conversation of that key and session.
fn fingerprint(request: &ChatRequest, decision: &Decision) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    part(decision.key.as_ref().map_or("", |k| k.as_str()));
    part(decision.session.as_deref().unwrap_or(""));
    part(decision.route.as_str());
    for message in request.messages() {
        part(&format!("{message:?}"));
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}
