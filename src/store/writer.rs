//! The writer thread: takes jobs from the queue in order, puts those that come together into one transaction, and answers
//! after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::StoreError;
use super::backend::Backend;
use super::keys::KeyTable;
use super::log::Log;
use super::queue::{Message, append_all, gather, is_trace, trace_of, write_down};
use super::rows::ScannedRow;
use super::tail::HandOver;
use crate::domain::{Seq, UnixMs};

/// How often the writer looks what other processes did.
const POLL: Duration = Duration::from_millis(500);

/// What the writer and the handles see.
pub(super) struct Shared {
    /// Jobs in the queue.
    pub(super) queued: AtomicUsize,
    /// Events that nobody waited for and that were lost.
    pub(super) dropped: AtomicU64,
    /// Whether the last commit went through.
    pub(super) healthy: AtomicBool,
    /// Client keys as of the last look.
    pub(super) keys: ArcSwap<KeyTable>,
    /// The last committed event.
    pub(super) committed: watch::Sender<Seq>,
    /// Who is told what was committed.
    pub(super) follower: Mutex<Option<HandOver>>,
    /// The epoch in which this process leads; 0: it does not.
    pub(super) epoch: AtomicU64,
}

/// What a transaction did.
struct Committed {
    /// The last event in it.
    last: Option<Seq>,
    /// What a job found wrong with the disk or the file.
    fault: Option<StoreError>,
    /// When.
    at: UnixMs,
    /// What jobs appended.
    told: Vec<ScannedRow>,
}

/// The thread's state.
pub(super) struct Writer {
    backend: Backend,
    shared: std::sync::Arc<Shared>,
    looked: Instant,
    /// Events that wait for a database that could not be reached, at most `keep`.
    kept: Vec<Message>,
    keep: usize,
    /// Nobody knows whether the last transaction was committed.
    is_uncertain: bool,
    /// Set once the file was found damaged.
    damage: Option<StoreError>,
}

impl Writer {
    /// Reads what the handles need to know before the thread starts.
    pub(super) fn new(
        backend: Backend,
        keep: usize,
        shared: std::sync::Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let keep = if backend.is_shared() { keep } else { 0 };
        let (looked, kept) = (Instant::now(), Vec::new());
        let mut writer = Self { backend, shared, looked, kept, keep, is_uncertain: false, damage: None };
        writer.look()?;
        Ok(writer)
    }

    /// Runs until the queue is closed. Should it ever panic, the open transaction is undone, callers are told that the
    /// store is closed, and health says so.
    pub(super) fn run_guarded(self, queue: &Receiver<Message>) {
        let shared = self.shared.clone();
        if catch_unwind(AssertUnwindSafe(|| self.run(queue))).is_err() {
            shared.healthy.store(false, Ordering::Relaxed);
            tracing::error!("the store's writer panicked; completions go on, feedback needs a restart");
        }
    }

    /// What is queued when the queue is closed is still written.
    fn run(mut self, queue: &Receiver<Message>) {
        loop {
            match queue.recv_timeout(POLL) {
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(first) => {
                    let (batch, closing) = gather(first, queue);
                    self.commit(batch);
                    if closing {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.kept.is_empty() => {}
                Err(RecvTimeoutError::Timeout) => self.commit(Vec::new()),
            }
            self.look_at_others();
        }
        while let Ok(message) = queue.try_recv() {
            self.commit(vec![message]);
        }
        if !self.kept.is_empty() {
            self.commit(Vec::new());
        }
        self.shared.dropped.fetch_add(self.kept.len() as u64, Ordering::Relaxed);
        self.backend.close();
    }

    fn commit(&mut self, mut batch: Vec<Message>) {
        let jobs = batch.iter().filter(|message| !matches!(message, Message::Close)).count();
        self.shared.queued.fetch_sub(jobs, Ordering::Relaxed);
        if !self.kept.is_empty() {
            self.kept.append(&mut batch);
            batch = std::mem::take(&mut self.kept);
        }
        self.is_uncertain = false;
        let result = match &self.damage {
            Some(damage) => Err(damage.clone()),
            None => self.transact(&mut batch),
        };
        let fault = match &result {
            Ok(committed) => committed.fault.as_ref(),
            Err(error) => Some(error),
        };
        self.note_health(fault.map_or(Ok(()), Err));
        if let Some(fault) = fault.filter(|fault| fault.is_damage()) {
            self.note_damage(fault.to_string());
        }
        let outcome = result.map(|committed| self.tell(committed, &mut batch));
        for message in batch {
            match message {
                Message::Job(job) => job.finish(outcome.clone()),
                Message::Trace(trace)
                    if outcome.is_err() && !self.is_uncertain && self.kept.len() < self.keep =>
                {
                    self.kept.push(Message::Trace(trace));
                }
                Message::Trace(trace) if outcome.is_err() || trace.seq.is_none() => {
                    self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Message::Trace(_) | Message::Close => {}
            }
        }
    }

    /// Hands what was committed to the follower, then wakes it. Of the batch, jobs and lost events are left.
    fn tell(&self, committed: Committed, batch: &mut Vec<Message>) {
        let mut rows = committed.told;
        for message in
            batch.extract_if(.., |message| matches!(message, Message::Trace(trace) if trace.seq.is_some()))
        {
            if let Message::Trace(trace) = message {
                rows.extend(trace.told(committed.at));
            }
        }
        self.hand_over(rows);
        if let Some(last) = committed.last {
            self.shared.committed.send_replace(last);
        }
    }

    /// Before the follower is woken.
    fn hand_over(&self, mut rows: Vec<ScannedRow>) {
        let follower = self.shared.follower.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(follower) = follower.as_ref().filter(|_| !rows.is_empty()) {
            rows.sort_unstable_by_key(|row| row.seq);
            // No room, or nobody there any more: it is in the file.
            drop(follower.try_send(rows));
        }
    }

    /// The batch in one transaction.
    fn transact(&mut self, batch: &mut [Message]) -> Result<Committed, StoreError> {
        // Where there is nothing beside the events, the transaction itself is what keeps them whole.
        if batch.iter().all(is_trace) {
            match self.attempt(batch, |log, batch| append_all(batch, log)) {
                Ok(committed) => return Ok(committed),
                // They may be there, and twice would be worse than lost.
                Err(error) if self.is_uncertain && self.backend.is_shared() => return Err(error),
                Err(_) => self.is_uncertain = false,
            }
        }
        batch.iter_mut().filter_map(trace_of).for_each(|trace| trace.seq = None);
        self.attempt(batch, |log, batch| {
            for run in batch.chunk_by_mut(|a, b| is_trace(a) && is_trace(b)) {
                match run {
                    [Message::Job(job)] => job.run(log)?,
                    traces => write_down(traces, log)?,
                }
            }
            Ok(())
        })
    }

    fn attempt(
        &mut self,
        batch: &mut [Message],
        work: impl FnOnce(&mut Log<'_>, &mut [Message]) -> Result<(), StoreError>,
    ) -> Result<Committed, StoreError> {
        let tx = self.backend.begin()?;
        // Not before: while it waited others may have written.
        let at = now();
        let mut log = Log::new(tx, at);
        work(&mut log, batch)?;
        let committed = Committed { last: log.last(), fault: log.fault(), at, told: log.take_told() };
        let keys_changed = log.keys_changed;
        self.is_uncertain = true;
        log.commit()?;
        if keys_changed {
            self.refresh_keys();
        }
        Ok(committed)
    }

    /// A damaged file is not written again: that could only make it worse. What can be read of it is read on.
    fn note_damage(&mut self, detail: String) {
        let path = self.backend.file().into();
        let damage = StoreError::Damaged { path, detail };
        tracing::error!(error = %damage, "the database was damaged while in use: nothing more is written until a restart");
        self.damage = Some(damage);
    }

    /// Says it once when commits begin to fail and once when they go through again.
    fn note_health(&self, result: Result<(), &StoreError>) {
        let was = self.shared.healthy.swap(result.is_ok(), Ordering::Relaxed);
        match result {
            Err(error) if was => {
                tracing::error!(%error, "the store cannot write; feedback is refused until it can")
            }
            Ok(_) if !was => tracing::info!("the store writes again"),
            _ => {}
        }
    }

    /// Another process (`pointsman keys`) may have written; that must show within a second.
    fn look_at_others(&mut self) {
        if self.looked.elapsed() < POLL {
            return;
        }
        self.looked = Instant::now();
        let looked = self.look();
        if self.backend.is_shared() {
            self.note_health(looked.as_ref().map(drop));
        } else if let Err(error) = looked {
            tracing::warn!(%error, "cannot see whether the database changed");
        }
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let may_lead = self.shared.follower.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let look = self.backend.look(may_lead)?;
        let before = self.shared.epoch.swap(look.leads.unwrap_or(0), Ordering::Relaxed);
        match look.leads {
            Some(epoch) if epoch != before && self.backend.is_shared() => {
                tracing::info!(
                    epoch,
                    "this replica leads from now on: it saves checkpoints and moves experiments"
                );
            }
            None if before != 0 => tracing::info!(epoch = before, "this replica leads no longer"),
            _ => {}
        }
        if let Some((keys, end)) = look.changed {
            self.shared.keys.store(keys.into());
            self.shared.committed.send_replace(end);
        }
        Ok(())
    }

    fn refresh_keys(&mut self) {
        match self.backend.keys() {
            Ok(keys) => self.shared.keys.store(keys.into()),
            Err(error) => tracing::warn!(%error, "cannot read the client keys anew"),
        }
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
