//! Which model each conversation is on. In memory and bounded; what is not there any more, after a restart say, is read from the
//! log behind the request and counts from the next turn on.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::clock::now;
use super::{Caller, LiveRoute, Service};
use crate::domain::{ArmId, FeedbackRef, KeyId, Pin, RouteName, UnixMs};
use crate::store::{Store, StoreError};

/// Conversations that are remembered, about 200 bytes each; the least used goes first.
const MOST_SESSIONS: u64 = 100_000;
/// The longest that any route may ask for.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Look-ups in the log at one time; a conversation beyond them is looked up on its next turn.
const LOOKUPS: usize = 4;

/// SHA-256 of route, client key and session: nobody reaches into another key's conversation.
type Name = [u8; 32];

#[derive(Debug, Clone)]
struct Held {
    arm: ArmId,
    cached_tokens: u32,
    at: UnixMs,
}

/// The table. `None`: the log does not know the conversation either.
#[derive(Debug)]
pub struct Sessions {
    held: Cache<Name, Option<Held>>,
    lookups: Arc<Semaphore>,
}

impl Default for Sessions {
    fn default() -> Self {
        let held = Cache::builder().max_capacity(MOST_SESSIONS).time_to_idle(LONGEST).build();
        Self { held, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }
}

/// One conversation of one request, to note what became of its turn.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    sessions: Arc<Sessions>,
    name: Name,
}

impl Thread {
    /// The turn is `arm`'s. `cached_tokens` as its provider counted them; `None`: not known, what was known stays. A provider may
    /// miss its cache now and then, so the last turns count together.
    pub(super) fn note(&self, arm: &ArmId, cached_tokens: Option<u32>) {
        // Two turns of one conversation that end at the same moment may not both count; that is worth no lock on the way of a request.
        let before = self.sessions.held.get(&self.name).flatten().filter(|held| held.arm == *arm);
        let cached_tokens = match (before.map(|held| held.cached_tokens), cached_tokens) {
            (Some(before), Some(now)) => before.midpoint(now),
            (before, now) => now.or(before).unwrap_or(0),
        };
        self.sessions.held.insert(self.name, Some(Held { arm: arm.clone(), cached_tokens, at: now() }));
    }

    fn note_if_unknown(&self, found: Option<Held>) {
        self.sessions.held.entry(self.name).and_upsert_with(|entry| match entry {
            Some(known) if known.value().is_some() => known.into_value(),
            _ => found,
        });
    }
}

impl Service {
    /// The conversation that a request belongs to, and what it is pinned to. `begins`: this is its first turn, so nothing of the
    /// same name is about it.
    pub(super) fn thread(
        &self,
        live: &LiveRoute,
        session: Option<&str>,
        caller: &Caller,
        begins: bool,
    ) -> (Option<Thread>, Option<Pin>) {
        let settings = &live.route.session;
        let Some(session) = session.filter(|_| settings.pin) else { return (None, None) };
        let name = name(&live.route.name, caller.key.as_ref(), session);
        let thread = Thread { sessions: Arc::clone(&self.sessions), name };
        if begins {
            return (Some(thread), None);
        }
        let pin = match self.sessions.held.get(&name) {
            Some(held) => {
                let ttl = u64::try_from(settings.ttl.as_millis()).unwrap_or(u64::MAX);
                held.filter(|held| now().since_ms(held.at) <= ttl)
            }
            None => {
                self.look_up(&thread, &live.route.name, session, caller);
                None
            }
        };
        let pin = pin.map(|held| Pin {
            arm: held.arm,
            cached_tokens: held.cached_tokens,
            margin: settings.switch_margin,
        });
        (Some(thread), pin)
    }

    /// Asks the log behind the request. Nothing waits for it.
    fn look_up(&self, thread: &Thread, route: &RouteName, session: &str, caller: &Caller) {
        let Ok(permit) = Arc::clone(&self.sessions.lookups).try_acquire_owned() else { return };
        let (thread, store) = (thread.clone(), self.store.clone());
        let (route, session, key) = (route.clone(), session.to_owned(), caller.key.clone());
        tokio::task::spawn_blocking(move || {
            match last_turn(&store, &route, &session, key.as_ref()) {
                Ok(found) => thread.note_if_unknown(found),
                Err(error) => tracing::warn!(%error, "cannot read which model a conversation was on"),
            }
            drop(permit);
        });
    }
}

fn last_turn(
    store: &Store,
    route: &RouteName,
    session: &str,
    key: Option<&KeyId>,
) -> Result<Option<Held>, StoreError> {
    for id in store.session_decisions(session, key, 8)? {
        let Some(record) = store.record(&FeedbackRef::Decision(id), key)? else { continue };
        if record.decision.route != *route || record.decision.key.as_ref() != key {
            continue;
        }
        let served = record.completed.as_ref().and_then(|c| c.served.clone());
        let chosen = record.decision.decision_only.then(|| record.decision.arm.clone());
        if let Some(arm) = served.or(chosen) {
            let usage = record.completed.and_then(|c| c.usage);
            let cached_tokens = usage.map_or(0, |u| u.cached_tokens);
            return Ok(Some(Held { arm, cached_tokens, at: record.decision.at }));
        }
    }
    Ok(None)
}

fn name(route: &RouteName, key: Option<&KeyId>, session: &str) -> Name {
    let mut hash = Sha256::new();
    for part in [route.as_str(), key.map_or("", KeyId::as_str), session] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(session: &str) -> Thread {
        Thread { sessions: Arc::new(Sessions::default()), name: name(&"auto".into(), None, session) }
    }

    fn held(thread: &Thread) -> Option<(String, u32)> {
        thread.sessions.held.get(&thread.name).flatten().map(|h| (h.arm.to_string(), h.cached_tokens))
    }

    #[test]
    fn the_last_turns_count_together_and_another_model_starts_anew() {
        let t = thread("s");
        assert_eq!(held(&t), None);
        t.note(&"a".into(), Some(100));
        t.note(&"a".into(), Some(300));
        assert_eq!(held(&t), Some(("a".into(), 200)));
        t.note(&"a".into(), None);
        assert_eq!(held(&t), Some(("a".into(), 200)), "a turn that reports nothing changes nothing");
        t.note(&"b".into(), None);
        assert_eq!(held(&t), Some(("b".into(), 0)));
    }

    #[test]
    fn what_the_log_says_is_older_than_what_is_held() {
        let t = thread("s");
        let old = || Some(Held { arm: "old".into(), cached_tokens: 5, at: UnixMs(1) });
        t.note_if_unknown(None);
        assert_eq!(held(&t), None);
        t.note_if_unknown(old());
        assert_eq!(held(&t), Some(("old".into(), 5)));
        t.note(&"new".into(), Some(7));
        t.note_if_unknown(old());
        assert_eq!(held(&t), Some(("new".into(), 7)));
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        let key = KeyId::from("b");
        let all = [
            name(&"a".into(), None, "bc"),
            name(&"a".into(), Some(&key), "c"),
            name(&"ab".into(), None, "c"),
        ];
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    }
}
