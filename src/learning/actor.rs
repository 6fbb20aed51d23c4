//! The learning thread: wakes on commits, folds what is new, publishes, saves checkpoints.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::canary::{Canary, Challenger};
use super::checkpoint::restore;
use super::fold::{SCAN, Step, panic_text, step};
use super::{Joiner, LearnerSource, LearningError};
use crate::domain::{PolicyVersion, Seq};
use crate::policy::{Learner, Policy};
use crate::store::{Store, StoreError, Tail};

/// How long the thread rests after the log could not be read.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(500);

/// How often things happen. None of it changes the state.
#[derive(Debug, Clone)]
pub struct LearningOptions {
    /// Rows read at once.
    pub scan: usize,
    /// Publish once this many events are new, those that were committed together taken together ...
    pub publish_events: u64,
    /// ... or this long after the first that is not published, whichever is earlier.
    pub publish_after: Duration,
    /// Save a checkpoint after this many events.
    pub checkpoint_events: u64,
}

impl Default for LearningOptions {
    fn default() -> Self {
        Self {
            scan: SCAN,
            publish_events: 64,
            publish_after: Duration::from_millis(50),
            checkpoint_events: 5000,
        }
    }
}

/// How learning goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LearningStatus {
    /// The last event in the state.
    pub applied: Seq,
    /// The last event in the published policy.
    pub published: Seq,
    /// The last event in a saved checkpoint.
    pub checkpoint: Seq,
    /// Rows set aside since the start.
    pub set_aside: u64,
    /// Why it has stopped learning; the policy is the last good one.
    pub unwell: Option<String>,
}

struct Shared {
    policy: ArcSwap<Arc<dyn Policy>>,
    challenger: ArcSwapOption<Challenger>,
    status: watch::Sender<LearningStatus>,
}

/// The view of the learning thread that the rest of the program has.
pub struct LearningHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<()>,
    thread: Mutex<Option<JoinHandle<Result<Seq, LearningError>>>>,
}

impl std::fmt::Debug for LearningHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LearningHandle").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl LearningHandle {
    /// The published policy.
    pub fn policy(&self) -> Arc<dyn Policy> {
        Arc::clone(&self.shared.policy.load())
    }

    /// The challenger of the running experiment.
    pub fn challenger(&self) -> Option<Arc<Challenger>> {
        self.shared.challenger.load_full()
    }

    /// The last event in the state.
    pub fn applied(&self) -> Seq {
        self.shared.status.borrow().applied
    }

    /// How learning goes.
    pub fn status(&self) -> LearningStatus {
        self.shared.status.borrow().clone()
    }

    /// The status, and a wake-up whenever it changes.
    pub fn watch(&self) -> watch::Receiver<LearningStatus> {
        self.shared.status.subscribe()
    }

    /// Folds what is committed by now, publishes, saves a last checkpoint and ends the thread. Blocks. The store must still
    /// be open. Gives the last event in the checkpoint; stopping twice gives the same.
    ///
    /// # Errors
    /// When the checkpoint could not be written, or the learner is unwell: the next start folds the log instead.
    pub fn stop(&self) -> Result<Seq, LearningError> {
        self.stop.send_replace(());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread.map(JoinHandle::join) {
            None => Ok(self.status().checkpoint),
            Some(Ok(ended)) => ended,
            Some(Err(panic)) => Err(LearningError::Unwell(panic_text(panic.as_ref()))),
        }
    }
}

/// The owner of the learner.
pub struct Actor {
    store: Store,
    tail: Tail,
    options: LearningOptions,
    learner: Box<dyn Learner>,
    canary: Option<Canary>,
    joiner: Joiner,
    shared: Arc<Shared>,
    status: LearningStatus,
    /// The last event at which a checkpoint was tried; after a failure the next try is as many events later.
    tried: Seq,
    /// Alarms that have been written to the log of the process.
    told_alarms: u64,
    /// When the oldest event that is not published was folded in.
    unpublished_since: Option<Instant>,
    /// The log is folded for the first time, many rows at once: should one of them end the learning, what came before it must serve.
    starting: bool,
}

impl Actor {
    /// Loads the newest good checkpoint, folds the rest of the log, and starts the thread. Blocks until the policy is up to
    /// date with what was committed at the call.
    ///
    /// # Errors
    /// When the log cannot be read or the thread not started. Bad rows and checkpoints are no errors.
    pub fn start(
        store: &Store,
        source: &LearnerSource<'_>,
        options: LearningOptions,
    ) -> Result<LearningHandle, LearningError> {
        let (learner, seq) = restore(store, source)?;
        let canary = Canary::restore(store, learner.as_ref(), seq)?;
        let status = LearningStatus { applied: seq, published: seq, checkpoint: seq, ..Default::default() };
        let shared = Arc::new(Shared {
            policy: ArcSwap::from_pointee(learner.freeze(version(seq))),
            challenger: ArcSwapOption::from_pointee(canary.as_ref().map(|canary| canary.publish(seq))),
            status: watch::Sender::new(status.clone()),
        });
        let mut actor = Self {
            store: store.clone(),
            tail: store.follow(),
            options,
            learner,
            canary,
            joiner: Joiner::default(),
            shared: shared.clone(),
            status,
            tried: seq,
            told_alarms: u64::MAX,
            unpublished_since: None,
            starting: true,
        };
        let committed = store.committed();
        let end = *committed.borrow();
        actor.catch_up(end)?;
        actor.publish();
        actor.starting = false;
        actor.told_alarms = shared.policy.load().alarms_raised();
        let (stop, stopping) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("learner".into())
            .spawn(move || actor.run(committed, stopping))?;
        Ok(LearningHandle { shared, stop, thread: Mutex::new(Some(thread)) })
    }

    fn run(
        mut self,
        mut committed: watch::Receiver<Seq>,
        mut stopping: watch::Receiver<()>,
    ) -> Result<Seq, LearningError> {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        loop {
            let end = *committed.borrow_and_update();
            let pause = self.catch_up(end).inspect_err(|error| {
                tracing::warn!(%error, "the learner cannot read the log; it tries again");
            });
            let pause = pause.and_then(|()| self.act());
            let wait = match pause {
                Err(_) => Some(PAUSE_AFTER_FAULT),
                Ok(()) => self.unpublished_since.map(|since| self.due_in(since)),
            };
            let stopped = clock.block_on(async {
                tokio::select! {
                    _ = stopping.changed() => true,
                    closed = committed.changed() => closed.is_err(),
                    () = rest(wait) => false,
                }
            });
            if stopped {
                // Not within the call: the borrow would keep the writer from telling of the very commit that is waited for there.
                let end = *committed.borrow();
                return self.finish(end);
            }
            if self.unpublished_since.is_some_and(|since| self.due_in(since).is_zero()) {
                self.publish();
            }
        }
    }

    /// Folds everything up to `end`, publishing and saving on the way.
    fn catch_up(&mut self, end: Seq) -> Result<(), StoreError> {
        while self.status.applied < end && self.status.unwell.is_none() {
            let rows = self.tail.read(&self.store, self.status.applied, self.options.scan.max(1))?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                // The challenger first: when the log cannot be read, nobody has the row yet.
                let champion = self.learner.as_ref();
                Canary::follow(&mut self.canary, &row, &mut self.joiner, &self.store, champion)?;
                match step(&mut self.joiner, &row, &self.store, self.learner.as_mut())? {
                    Step::Used => {}
                    Step::SetAside(why) => self.set_aside(row.seq, why),
                    Step::Panicked(why) => {
                        self.fall_ill(row.seq, &why);
                        return Ok(());
                    }
                }
                self.advance(row.seq);
            }
            self.publish_when_due();
            self.show();
        }
        Ok(())
    }

    /// Lets the experiment go on, or ends it; of several replicas the one that leads does.
    fn act(&self) -> Result<(), StoreError> {
        let canary = self.canary.as_ref().filter(|_| self.status.unwell.is_none());
        let Some((canary, lead)) = canary.zip(self.store.lead()) else { return Ok(()) };
        canary.act(&self.store, lead).inspect_err(|error| {
            tracing::warn!(%error, "what becomes of the experiment is not in the log yet; it is tried again");
        })
    }

    fn advance(&mut self, seq: Seq) {
        self.status.applied = seq;
        self.unpublished_since.get_or_insert_with(Instant::now);
        if self.starting {
            self.publish_when_due();
        }
        if seq.0 - self.tried.0 >= self.options.checkpoint_events
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, "the learner's checkpoint was not saved; the log still has everything");
        }
    }

    fn publish_when_due(&mut self) {
        if self.status.applied.0 - self.status.published.0 >= self.options.publish_events {
            self.publish();
        }
    }

    fn set_aside(&mut self, seq: Seq, why: String) {
        tracing::warn!(seq = seq.0, why, "a row of the log cannot be learned from and was set aside");
        self.status.set_aside += 1;
        self.store.set_aside(seq, why);
    }

    fn fall_ill(&mut self, seq: Seq, why: &str) {
        tracing::error!(
            seq = seq.0,
            why,
            "the learner panicked and has stopped; requests go on with its last good policy"
        );
        self.status.unwell = Some(format!("panic at event {seq}: {why}"));
        self.unpublished_since = None;
        self.show();
    }

    fn due_in(&self, since: Instant) -> Duration {
        self.options.publish_after.saturating_sub(since.elapsed())
    }

    fn publish(&mut self) {
        self.unpublished_since = None;
        if self.status.unwell.is_some() || self.status.published == self.status.applied {
            return;
        }
        let seq = self.status.applied;
        match catch_unwind(AssertUnwindSafe(|| self.learner.freeze(version(seq)))) {
            Ok(policy) => {
                self.tell_alarms(&*policy);
                self.shared.policy.store(Arc::new(policy));
                self.shared
                    .challenger
                    .store(self.canary.as_ref().map(|canary| Arc::new(canary.publish(seq))));
                self.status.published = seq;
                self.show();
            }
            Err(panic) => self.fall_ill(seq, &panic_text(panic.as_ref())),
        }
    }

    /// Those of the log that was folded at start were told when they were raised.
    fn tell_alarms(&mut self, policy: &dyn Policy) {
        if policy.alarms_raised() <= self.told_alarms {
            return;
        }
        for alarm in policy.checkup().into_iter().flat_map(|c| c.alarms) {
            if alarm.number > self.told_alarms {
                let (arm, change) = (alarm.arm.as_ref().map_or("-", |arm| arm.as_str()), &alarm.change);
                tracing::warn!(
                    number = alarm.number,
                    arm,
                    signal = alarm.signal.as_str(),
                    direction = ?change.direction,
                    before = change.before,
                    after = change.after,
                    observations = change.since,
                    "drift: this is no longer what it was"
                );
            }
        }
        self.told_alarms = policy.alarms_raised();
    }

    /// Of several replicas the one that leads saves: the state is the same in all.
    fn save(&mut self) -> Result<(), StoreError> {
        let seq = self.status.applied;
        self.tried = seq;
        let Some(lead) = self.store.lead() else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| self.learner.to_bytes())) {
            Ok(state) => {
                self.store.save_checkpoint(lead, seq, state)?;
                self.status.checkpoint = seq;
                Ok(())
            }
            Err(panic) => {
                self.fall_ill(seq, &panic_text(panic.as_ref()));
                Ok(())
            }
        }
    }

    fn finish(mut self, end: Seq) -> Result<Seq, LearningError> {
        self.catch_up(end)?;
        self.publish();
        if self.status.unwell.is_none() && self.status.checkpoint != self.status.applied {
            self.save()?;
        }
        self.show();
        match self.status.unwell {
            None => Ok(self.status.checkpoint),
            Some(why) => Err(LearningError::Unwell(why)),
        }
    }

    fn show(&self) {
        self.shared.status.send_replace(self.status.clone());
    }
}

fn version(seq: Seq) -> PolicyVersion {
    PolicyVersion::new(format!("learned@{seq}"))
}

/// Sleeps that long, or for ever.
async fn rest(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
