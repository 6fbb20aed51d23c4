//! The handle that the rest of the program holds.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::address::StoreAddress;
use super::backend::Backend;
use super::feedback::{
    NewComparison, NewEpisode, NewFeedback, Receipt, accept, accept_comparison, accept_episode,
};
use super::keys::KeyTable;
use super::log::Log;
use super::queue::{Job, Message, Reply, Trace, Work};
use super::readers::Readers;
use super::tail::Tail;
use super::writer::{Shared, Writer};
use super::{FeedbackRejected, StoreError};
use crate::domain::{EventBody, Seq};

/// How long a caller waits for a database that others write too.
const ANSWER_WITHIN: Duration = Duration::from_millis(1800);
/// After which pauses a decision is looked for again that another replica may have made.
const OF_ANOTHER_REPLICA: &[Duration] = &[Duration::from_millis(60), Duration::from_millis(240)];
/// What became of a report inside of the transaction.
type Accepted = Result<Result<Receipt, FeedbackRejected>, StoreError>;

/// How often lost events are told of.
const TELL_EVERY_S: u64 = 10;

/// Where the log is and how much may wait for it.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which database; a new file is made when there is none.
    pub address: StoreAddress,
    /// Jobs that may wait to be written.
    pub queue: usize,
    /// How long to wait for another process that holds the database.
    pub busy_timeout: Duration,
}

impl StoreOptions {
    /// A queue of 8,192 jobs and two seconds of patience.
    pub fn at(address: impl Into<StoreAddress>) -> Self {
        Self { address: address.into(), queue: 8192, busy_timeout: Duration::from_secs(2) }
    }
}

/// The right to write what only the leader writes. Whether it still holds is seen in the transaction of each such write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead(pub(super) u64);

/// The store. Clones share one writer; when the last is dropped, what is queued is still written.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    queue: SyncSender<Message>,
    queue_length: usize,
    shared: Arc<Shared>,
    readers: Readers,
    /// Whether other processes write, each with a queue of its own.
    is_shared: bool,
    writer: Mutex<Option<JoinHandle<()>>>,
    opened: Instant,
    /// When lost events were last told of, seconds after `opened`; 0: never yet.
    told: AtomicU64,
}

impl Inner {
    /// Counts a lost event. Where one is lost thousands are, so not each has a line of its own.
    fn lose(&self, error: &StoreError) {
        let lost = self.shared.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        let (now, told) = (self.opened.elapsed().as_secs() + 1, self.told.load(Ordering::Relaxed));
        let is_due = told == 0 || now >= told + TELL_EVERY_S;
        if is_due && self.told.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(lost, %error, "events are lost to the log and nobody learns from them: it does not keep up");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("committed", &*self.0.shared.committed.borrow()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the log, or makes a new one where there is none, and starts the writer. Blocks: call it at start, outside of async tasks.
    ///
    /// # Errors
    /// When SQLite is too old; when the file is empty, damaged, not ours or read-only; when Postgres cannot be reached; when either is
    /// from a newer version.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let backend = Backend::open(&options.address, options.busy_timeout)?;
        let is_shared = backend.is_shared();
        let shared = Arc::new(Shared {
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            keys: ArcSwap::from_pointee(KeyTable::default()),
            committed: watch::Sender::new(Seq(0)),
            follower: Mutex::new(None),
            epoch: AtomicU64::new(0),
        });
        let queue_length = options.queue.max(1);
        let writer = Writer::new(backend, queue_length, shared.clone())?;
        let (queue, jobs) = sync_channel(queue_length);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run_guarded(&jobs))
            .map_err(|source| StoreError::Thread(Arc::new(source)))?;
        let readers = Readers::new(options.address, options.busy_timeout);
        let writer = Mutex::new(Some(thread));
        let (opened, told) = (Instant::now(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { queue, queue_length, shared, readers, is_shared, writer, opened, told })))
    }

    /// Queues an event that nobody waits for. Never blocks.
    ///
    /// # Errors
    /// When the queue is full or the store is closed: the event is lost and counted.
    pub fn try_append(&self, body: EventBody) -> Result<(), StoreError> {
        self.send(Message::Trace(Trace::new(body))).inspect_err(|error| self.0.lose(error))
    }

    /// Appends an event; answers after the commit.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn append(&self, body: EventBody) -> Result<Seq, StoreError> {
        self.perform(move |log| log.append(body)).await
    }

    /// Takes a report, at most once however often it is sent; answers after the commit.
    ///
    /// # Errors
    /// When the decision is not known to this key, the report contradicts its idempotency key or is out of range, or it
    /// could not be written. Nothing of it is kept then.
    pub async fn feedback(&self, item: NewFeedback) -> Result<Receipt, FeedbackRejected> {
        self.patiently(item, accept).await
    }

    /// As [`Self::feedback`], nobody waiting: what becomes of it goes to `told` after the commit. Never blocks.
    ///
    /// # Errors
    /// When the queue is full or the store is closed.
    pub fn try_feedback(
        &self,
        item: NewFeedback,
        told: impl FnOnce(Result<Receipt, FeedbackRejected>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let tell = move |result: Result<Result<Receipt, FeedbackRejected>, StoreError>| {
            told(result.unwrap_or_else(|error| Err(error.into())));
        };
        self.submit(Work::new(move |log: &mut Log<'_>| accept(log, item), reply(tell)))
    }

    /// As [`Self::feedback`], for a comparison of two decisions.
    ///
    /// # Errors
    /// As there; the two must be different decisions that the key may see.
    pub async fn compare(&self, item: NewComparison) -> Result<Receipt, FeedbackRejected> {
        self.patiently(item, accept_comparison).await
    }

    /// As [`Self::feedback`], for a whole session.
    ///
    /// # Errors
    /// As there; a session without decisions of this key is not known.
    pub async fn rate_episode(&self, item: NewEpisode) -> Result<Receipt, FeedbackRejected> {
        self.patiently(item, accept_episode).await
    }

    /// The last committed event, and a wake-up for each commit.
    pub fn committed(&self) -> watch::Receiver<Seq> {
        self.0.shared.committed.subscribe()
    }

    /// The log from now on, handed over in memory. There is one follower: another call takes the place of the one before, which
    /// then reads from the file.
    pub fn follow(&self) -> Tail {
        let (hand_over, tail) = Tail::new();
        *self.0.shared.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(hand_over);
        tail
    }

    /// The right to write what only the leader writes; `None`: another replica leads, or none yet. Where one process has the store to
    /// itself it always leads.
    pub fn lead(&self) -> Option<Lead> {
        let epoch = self.0.shared.epoch.load(Ordering::Relaxed);
        (epoch > 0).then_some(Lead(epoch))
    }

    /// Events that were lost because nobody waited for them and the queue was full or the commit failed.
    pub fn dropped(&self) -> u64 {
        self.0.shared.dropped.load(Ordering::Relaxed)
    }

    /// Jobs that wait to be written.
    pub fn queue_len(&self) -> usize {
        self.0.shared.queued.load(Ordering::Relaxed)
    }

    /// Whether the last commit went through.
    pub fn is_healthy(&self) -> bool {
        self.0.shared.healthy.load(Ordering::Relaxed)
    }

    /// Client keys as the writer last saw them, at most about half a second old.
    pub fn key_snapshot(&self) -> Arc<KeyTable> {
        self.0.shared.keys.load_full()
    }

    /// Writes what is queued and ends the writer. Other handles then get [`StoreError::Closed`]; closing twice is no fault.
    pub fn close(self) {
        let thread = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        if self.0.queue.send(Message::Close).is_err() {
            tracing::debug!("the store's writer had already ended");
        }
        if thread.join().is_err() {
            tracing::error!("the store's writer panicked");
        }
    }

    /// Once what was queued so far is written and can be read.
    ///
    /// # Errors
    /// When the queue is full or the transaction fails.
    pub async fn settled(&self) -> Result<(), StoreError> {
        self.perform(|_| Ok(())).await
    }

    pub(super) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    /// Runs `work` in the next transaction and waits for its commit.
    pub(super) async fn perform<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Log<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        self.submit(Work::new(work, reply(move |result| drop(tell.send(result)))))?;
        let told = async { told.await.unwrap_or(Err(StoreError::Closed)) };
        if !self.0.is_shared {
            return told.await;
        }
        // It may still be written: the same again is no second report then.
        let slow = StoreError::Slow { doing: "waiting for the commit" };
        tokio::time::timeout(ANSWER_WITHIN, told).await.unwrap_or(Err(slow))
    }

    /// Takes a report. A decision that is not there may be one that another replica has made a moment ago and not written yet.
    async fn patiently<I: Clone + Send + 'static>(
        &self,
        item: I,
        accept: fn(&mut Log<'_>, I) -> Accepted,
    ) -> Result<Receipt, FeedbackRejected> {
        let pauses = if self.0.is_shared { OF_ANOTHER_REPLICA } else { &[] };
        for pause in pauses {
            let item = item.clone();
            match self.perform(move |log| accept(log, item)).await? {
                Err(FeedbackRejected::NotFound) => tokio::time::sleep(*pause).await,
                settled => return settled,
            }
        }
        self.perform(move |log| accept(log, item)).await?
    }

    /// The same for threads outside the async runtime.
    pub(super) fn perform_blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Log<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (tell, told) = sync_channel(1);
        self.submit(Work::new(work, reply(move |result| drop(tell.send(result)))))?;
        told.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Puts a job at the end of the queue, or refuses it at once.
    pub(super) fn submit(&self, job: impl Job + 'static) -> Result<(), StoreError> {
        self.send(Message::Job(Box::new(job)))
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        self.0.shared.queued.fetch_add(1, Ordering::Relaxed);
        self.0.queue.try_send(message).map_err(|refused| {
            self.0.shared.queued.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => StoreError::QueueFull(self.0.queue_length),
                TrySendError::Disconnected(_) => StoreError::Closed,
            }
        })
    }
}

fn reply<T>(tell: impl FnOnce(Result<T, StoreError>) + Send + 'static) -> Reply<T> {
    Box::new(tell)
}
