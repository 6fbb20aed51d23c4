//! Connections that read: a few, and a limit on how long one of them is waited for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::StoreError;
use super::super::address::PostgresUrl;
use super::super::db::{Db, DbError, Result};
use super::Session;
use super::schema::GREETING;

/// Connections at a time.
const MOST: usize = 8;
/// Idle ones that are kept.
const IDLE: usize = 4;
/// How long one is waited for when all are lent.
const WAIT: Duration = Duration::from_secs(2);
/// For each answer; sums over a long time take theirs.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub(in crate::store) struct Pool {
    url: PostgresUrl,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Session>,
    lent: usize,
}

impl Pool {
    pub(in crate::store) fn new(url: PostgresUrl) -> Self {
        Self { url, state: Mutex::default(), given_back: Condvar::new() }
    }

    /// Lends a connection to `reading`, on a thread of its own: the caller may be within an async task, where no connection can be
    /// driven. One that turns out to be lost is replaced once.
    pub(in crate::store) fn with<T: Send>(
        &self,
        reading: impl Fn(Db<'_>) -> Result<T> + Sync,
    ) -> std::result::Result<T, StoreError> {
        let idle = self.take()?;
        let read = || {
            let mut lent = idle;
            let result = self.read(&mut lent, &reading);
            self.give_back(lent.filter(|session| !session.is_broken()));
            result
        };
        let result = std::thread::scope(|scope| scope.spawn(read).join());
        let result = result.map_err(|_| {
            self.give_back(None);
            StoreError::Closed
        })?;
        result.map_err(StoreError::doing("reading"))
    }

    fn read<T>(&self, lent: &mut Option<Session>, reading: &impl Fn(Db<'_>) -> Result<T>) -> Result<T> {
        if let Some(session) = lent.as_ref() {
            let result = reading(Db::Postgres(session));
            if !session.is_broken() || matches!(result, Err(DbError::Slow(_))) {
                return result;
            }
        }
        let session = lent.insert(Session::connect(&self.url, PATIENCE, GREETING)?);
        reading(Db::Postgres(session))
    }

    /// `None`: one is to be made.
    fn take(&self) -> std::result::Result<Option<Session>, StoreError> {
        let state = self.locked();
        let waited = self.given_back.wait_timeout_while(state, WAIT, |state| state.lent >= MOST);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(StoreError::Busy { connections: MOST });
        }
        state.lent += 1;
        Ok(state.idle.pop())
    }

    fn give_back(&self, session: Option<Session>) {
        let mut state = self.locked();
        state.lent -= 1;
        if state.idle.len() < IDLE {
            state.idle.extend(session);
        }
        drop(state);
        self.given_back.notify_one();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
