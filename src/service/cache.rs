//! The response cache: the same request of the same client key gets the answer that was given before. Off unless the operator turns it
//! on.
//!
//! An entry is found by SHA-256 over everything that may change an answer: the client key, the caller's user, what was asked for, the
//! client's format, every field of the body, and the wishes. Only whole answers with a finish reason are kept, in memory, for a time and within a bound on bytes;
//! streams as the chunks that came, so that a hit is written by the same writer. Nothing here blocks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use moka::sync::Cache;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::account::Account;
use super::clock::now;
use super::complete::whole;
use super::spend::{Scopes, Ticket};
use super::{Answer, AnswerStream, Begun, Caller, Destination, Head, Service};
use crate::domain::{
    Arm, ArmId, CompletionEnd, Decision, DecisionId, PolicyVersion, Reason, RouteName, Strategy,
};
use crate::policy::budget::Amount;
use crate::provider::{Chunk, ChunkStream};
use crate::telemetry::Metrics;
use crate::wire::ReplyFacts;
use crate::wire::chat::ChatRequest;

/// One answer may take such a part of the cache at the most.
const LARGEST_PART: u64 = 8;
/// What an entry and a chunk take beside their text, bytes, about.
const ENTRY_BYTES: usize = 512;
const CHUNK_BYTES: usize = 256;

/// `[cache]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long an answer is kept.
    pub ttl: Duration,
    /// Bytes of all answers together.
    pub max_bytes: u64,
    /// Routes whose answers are not kept.
    pub without: BTreeSet<RouteName>,
}

/// Whether an answer came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It did.
    Hit,
    /// It was asked for anew.
    Miss,
}

impl CacheOutcome {
    /// As headers and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// What the client allows, by `Cache-Control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheControl {
    /// Whether an answer may come from the cache; not with `no-cache` or `no-store`.
    pub read: bool,
    /// Whether the answer may be kept; not with `no-store`.
    pub keep: bool,
}

impl Default for CacheControl {
    fn default() -> Self {
        Self { read: true, keep: true }
    }
}

type Key = [u8; 32];

/// An answer that was given.
struct Kept {
    decision: DecisionId,
    served: Arc<Arm>,
    route: RouteName,
    strategy: Strategy,
    policy: PolicyVersion,
    reason: Reason,
    answer: KeptAnswer,
}

enum KeptAnswer {
    Whole { body: Bytes, native: Option<Bytes>, facts: Box<ReplyFacts> },
    Stream(Vec<Chunk>),
}

impl KeptAnswer {
    fn bytes(&self) -> usize {
        let native = |native: &Option<Bytes>| native.as_ref().map_or(0, Bytes::len);
        ENTRY_BYTES
            + match self {
                Self::Whole { body, native: own, .. } => body.len() + native(own),
                Self::Stream(chunks) => chunks.iter().map(chunk_bytes).sum(),
            }
    }
}

fn chunk_bytes(chunk: &Chunk) -> usize {
    chunk.data.len() + chunk.native.as_ref().map_or(0, Bytes::len) + CHUNK_BYTES
}

/// The answers.
pub struct ResponseCache {
    kept: Cache<Key, Arc<Kept>>,
    largest: usize,
    without: BTreeSet<RouteName>,
}

impl ResponseCache {
    /// Empty.
    pub fn new(settings: &CacheSettings) -> Self {
        let weigh = |_: &Key, kept: &Arc<Kept>| u32::try_from(kept.answer.bytes()).unwrap_or(u32::MAX);
        let kept = Cache::builder()
            .max_capacity(settings.max_bytes)
            .weigher(weigh)
            .time_to_live(settings.ttl)
            .build();
        let largest = usize::try_from(settings.max_bytes / LARGEST_PART).unwrap_or(usize::MAX);
        Self { kept, largest, without: settings.without.clone() }
    }

    /// The same answers, with other routes left out.
    pub(super) fn without(&self, routes: &BTreeSet<RouteName>) -> Self {
        Self { kept: self.kept.clone(), largest: self.largest, without: routes.clone() }
    }

    /// Answers and bytes that are kept, about.
    pub fn size(&self) -> (u64, u64) {
        (self.kept.entry_count(), self.kept.weighted_size())
    }
}

/// What is needed to keep an answer that is on its way.
pub(super) struct Recording {
    cache: Arc<ResponseCache>,
    key: Key,
    head: Head,
    chunks: Vec<Chunk>,
    bytes: usize,
}

impl Recording {
    /// Who served in the end, and why it.
    pub(super) fn served_as(&mut self, head: &Head) {
        self.head = head.clone();
    }

    /// Notes a chunk; `false`: the answer is too large to be kept.
    pub(super) fn note(&mut self, chunk: &Chunk) -> bool {
        self.bytes += chunk_bytes(chunk);
        let fits = self.bytes <= self.cache.largest;
        if fits {
            self.chunks.push(chunk.clone());
        }
        fits
    }

    /// Keeps a stream that came to its end.
    pub(super) fn keep_stream(mut self, served: &Arc<Arm>) {
        let chunks = std::mem::take(&mut self.chunks);
        self.keep(served, KeptAnswer::Stream(chunks));
    }

    /// Keeps a whole answer.
    pub(super) fn keep_whole(
        self,
        served: &Arc<Arm>,
        (body, native): (&Bytes, &Option<Bytes>),
        facts: &ReplyFacts,
    ) {
        let facts = Box::new(facts.clone());
        self.keep(served, KeptAnswer::Whole { body: body.clone(), native: native.clone(), facts });
    }

    fn keep(self, served: &Arc<Arm>, answer: KeptAnswer) {
        if answer.bytes() > self.cache.largest {
            return;
        }
        let Head { decision, route, strategy, policy, reason, .. } = self.head;
        let served = Arc::clone(served);
        let kept = Kept { decision, served, route, strategy, policy, reason, answer };
        self.cache.kept.insert(self.key, Arc::new(kept));
    }
}

/// What the cache has to do with one request.
pub(super) enum Looked {
    /// Nothing: there is none, or not for this route.
    Off,
    /// The answer was given before.
    Hit(Box<Begun>),
    /// It was not; it may be kept.
    Miss(Option<PendingRecording>),
}

/// A recording whose decision is not taken yet.
pub(super) struct PendingRecording {
    cache: Arc<ResponseCache>,
    key: Key,
}

impl PendingRecording {
    pub(super) fn begin(self, head: Head) -> Box<Recording> {
        Box::new(Recording { cache: self.cache, key: self.key, head, chunks: Vec::new(), bytes: ENTRY_BYTES })
    }
}

impl Service {
    /// Looks for an answer that was given before.
    pub(super) fn look_in_cache(&self, request: &ChatRequest, caller: &Caller) -> Looked {
        let Some(cache) = &self.cache else { return Looked::Off };
        // What may not be asked for is not answered from the cache either.
        let wanted = match self.destination_of(request.model(), caller, "model") {
            Ok(Destination::Route(live, _)) if cache.without.contains(&live.route.name) => {
                return Looked::Off;
            }
            Ok(wanted) => wanted,
            Err(_) => return Looked::Off,
        };
        let key = key_of(request, caller);
        let found = caller.cache.read.then(|| cache.kept.get(&key)).flatten();
        // A configuration that was changed may have taken the model away.
        let found = found.filter(|kept| self.still_serves(&kept.served.id, &wanted, request));
        let outcome = if found.is_some() { CacheOutcome::Hit } else { CacheOutcome::Miss };
        self.metrics.cache(outcome.as_str());
        match found {
            Some(kept) => Looked::Hit(Box::new(self.answer_again(&kept, request, caller))),
            None => {
                let pending = PendingRecording { cache: Arc::clone(cache), key };
                Looked::Miss(caller.cache.keep.then_some(pending))
            }
        }
    }

    /// Whether this model could be the one that answers today.
    fn still_serves(&self, arm: &ArmId, wanted: &Destination, request: &ChatRequest) -> bool {
        let is_candidate = match wanted {
            Destination::Route(live, _) => live.route.arms.contains(arm),
            Destination::Arm(wanted) => wanted.id == *arm,
        };
        self.fleet.arm(arm).is_some() && (is_candidate || !request.fallback_models().is_empty())
    }

    /// The kept answer under a decision of its own, which costs nothing and teaches nothing.
    fn answer_again(&self, kept: &Kept, request: &ChatRequest, caller: &Caller) -> Begun {
        let decision = repeated(kept, request, caller);
        let head = Head {
            attempts: 0,
            cost_usd: (!request.stream()).then_some(0.0),
            cache: Some(CacheOutcome::Hit),
            ..Head::of(&decision)
        };
        let ticket = Ticket::of(&decision, Scopes::default(), Amount::default(), 0.0);
        self.book(&decision, &ticket);
        let mut account = Account::open(self, decision.id, ticket);
        account.served_by(Arc::clone(&kept.served), Instant::now(), Vec::new());
        account.is_repeated = true;
        self.log(decision);
        let answer = match &kept.answer {
            KeptAnswer::Whole { body, native, facts } => {
                (account.has_content, account.is_refusal) = (facts.has_content, facts.is_refusal);
                account.finish_reason.clone_from(&facts.finish_reason);
                account.close(CompletionEnd::Complete);
                Answer::Full(head.clone(), whole(body.clone(), native.clone()))
            }
            KeptAnswer::Stream(chunks) => {
                let chunks = ChunkStream::new(stream::iter(chunks.clone().into_iter().map(Ok)));
                let pieces = AnswerStream::new(chunks, account, request.wants_usage_chunk());
                Answer::Stream(head.clone(), Box::new(pieces))
            }
        };
        Begun { head, is_stream: request.stream(), answer: Box::pin(async { Ok(answer) }) }
    }
}

fn repeated(kept: &Kept, request: &ChatRequest, caller: &Caller) -> Decision {
    let extension = request.extension();
    let id = DecisionId::from_uuid(Uuid::now_v7());
    let (route, policy) = (kept.route.clone(), kept.policy.clone());
    Decision {
        strategy: kept.strategy,
        reason: kept.reason,
        repeats: Some(kept.decision),
        key: caller.key.clone(),
        session: extension.session_id.clone().or_else(|| caller.session.clone()),
        user: extension.user.clone(),
        tags: caller.tags.iter().chain(&extension.tags).map(|(k, v)| (k.clone(), v.clone())).collect(),
        ..Decision::certain(id, now(), route, kept.served.id.clone(), policy)
    }
}

/// Everything that may change the answer. Sessions and tags are for pinning and reports: they do not.
fn key_of(request: &ChatRequest, caller: &Caller) -> Key {
    let extension = request.extension();
    let format = format!("{:?}", request.client_format());
    let wishes = json!([
        caller.key,
        caller.weights,
        caller.max_cost_usd,
        extension.user,
        extension.preference,
        extension.constraints,
        extension.models,
        extension.budget,
        request.fallback_models(),
        request.model(),
        format,
    ]);
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(wishes.to_string().as_bytes());
    let mut fields: Vec<_> = request.fields_as_sent().collect();
    fields.sort_by_key(|(name, _)| *name);
    for (name, raw) in fields {
        part(name.as_bytes());
        // Without the client's spaces; the order within a field stays, for it may matter to a model.
        match serde_json::from_str::<Value>(raw) {
            Ok(value) => part(value.to_string().as_bytes()),
            Err(_) => part(raw.as_bytes()),
        }
    }
    hash.finalize().into()
}

/// Brings the metrics up to date.
pub(super) fn show(cache: &ResponseCache, metrics: &Metrics) {
    let (entries, bytes) = cache.size();
    metrics.cache_size(entries, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(body: &str, caller: &Caller) -> Key {
        key_of(&ChatRequest::parse(body.as_bytes()).unwrap(), caller)
    }

    const ASK: &str =
        r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}]}"#;

    #[test]
    fn spaces_and_the_order_of_fields_do_not_matter_and_everything_else_does() {
        let nobody = Caller::default();
        let same = r#"{"messages":[{"role":"user","content":"x"}],"model":"auto","temperature":0.5}"#;
        assert_eq!(key(ASK, &nobody), key(same, &nobody));
        for other in [
            r#"{"model": "auto", "temperature": 0.6, "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"model": "auto:cheap", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "y"}]}"#,
            r#"{"model": "auto", "temperature": 0.5, "seed": 1, "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"model": "auto", "temperature": 0.5, "stream": true, "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"model": "auto", "temperature": 0.5, "models": ["a/b"], "messages": [{"role": "user", "content": "x"}]}"#,
            r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}], "pointsman": {"weights": {"quality": 1}}}"#,
            r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}], "pointsman": {"max_cost_usd": 0.1}}"#,
            r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}], "pointsman": {"models": ["a/*"]}}"#,
            r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}], "pointsman": {"budget": "b"}}"#,
            r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}], "pointsman": {"user": "u"}}"#,
        ] {
            assert_ne!(key(ASK, &nobody), key(other, &nobody), "{other}");
        }
        let tagged = r#"{"model": "auto", "temperature": 0.5, "messages": [{"role": "user", "content": "x"}], "pointsman": {"tags": {"a": "b"}, "session_id": "s"}}"#;
        assert_eq!(key(ASK, &nobody), key(tagged, &nobody));
    }

    #[test]
    fn another_keys_answers_and_other_headers_are_other_entries() {
        let of = |id: &str| Caller { key: Some(id.into()), ..Caller::default() };
        assert_ne!(key(ASK, &of("a")), key(ASK, &of("b")));
        assert_ne!(key(ASK, &of("a")), key(ASK, &Caller::default()));
        assert_ne!(key(ASK, &of("a")), key(ASK, &Caller { max_cost_usd: Some(0.1), ..of("a") }));
    }
}
