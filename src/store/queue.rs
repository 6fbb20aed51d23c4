//! What goes through the writer's queue, and how what comes together is gathered and written down.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use super::StoreError;
use super::log::Log;
use super::rows::ScannedRow;
use crate::domain::{Event, EventBody, Seq, UnixMs};

/// Most jobs in one transaction. Half of the queue: the slower the disk syncs, the more goes into one sync, and the queue does not fill up.
const BATCH: usize = 4096;
/// How long a job that somebody waits for is kept back for others to come.
const LINGER: Duration = Duration::from_millis(5);
/// How long an event that nobody waits for is: every transaction costs a sync of the disk and the same pages again. Who asks for
/// such an event meanwhile has [`Store::settled`](super::Store::settled).
const TRACE_LINGER: Duration = Duration::from_millis(100);

/// What a caller is told after the commit.
pub(super) type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// Something to do in the next transaction.
pub(super) trait Job: Send {
    /// Does it. An error undoes this job alone, unless the whole transaction is lost with it.
    fn run(&mut self, log: &mut Log<'_>) -> Result<(), StoreError>;
    /// Tells the caller how the commit went.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A job with its result and the one who waits for it.
pub(super) struct Work<T, F> {
    work: Option<F>,
    value: Option<Result<T, StoreError>>,
    reply: Reply<T>,
}

impl<T, F> Work<T, F>
where
    T: Send,
    F: FnOnce(&mut Log<'_>) -> Result<T, StoreError> + Send,
{
    pub(super) fn new(work: F, reply: Reply<T>) -> Self {
        Self { work: Some(work), value: None, reply }
    }
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&mut Log<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, log: &mut Log<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        self.value = Some(log.undone_on_error(work)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        reply(committed.and_then(|()| value.unwrap_or(Err(StoreError::Closed))));
    }
}

/// An event that nobody waits for.
pub(super) struct Trace {
    body: Box<EventBody>,
    /// Its place, once it is written.
    pub(super) seq: Option<Seq>,
}

impl Trace {
    pub(super) fn new(body: EventBody) -> Self {
        Self { body: Box::new(body), seq: None }
    }

    pub(super) fn told(self, at: UnixMs) -> Option<ScannedRow> {
        let (seq, body) = (self.seq?, *self.body);
        Some(ScannedRow { seq, event: Ok(Event { seq, at, body }) })
    }
}

/// What goes through the queue.
pub(super) enum Message {
    /// Do this.
    Job(Box<dyn Job>),
    /// Write this down.
    Trace(Trace),
    /// Write what is queued, then stop.
    Close,
}

pub(super) fn trace_of(message: &mut Message) -> Option<&mut Trace> {
    match message {
        Message::Trace(trace) => Some(trace),
        Message::Job(_) | Message::Close => None,
    }
}

pub(super) fn is_trace(message: &Message) -> bool {
    matches!(message, Message::Trace(_))
}

/// Appends events that came together, all or none.
pub(super) fn append_all(run: &mut [Message], log: &mut Log<'_>) -> Result<(), StoreError> {
    let places = log.append_run(run.iter_mut().filter_map(trace_of).map(|trace| trace.body.as_mut()))?;
    for (trace, seq) in run.iter_mut().filter_map(trace_of).zip(places) {
        trace.seq = Some(seq);
    }
    Ok(())
}

/// Appends events that came together. Keeping each apart from the others would have SQLite copy every page that it changes, so that
/// is done only when one of them cannot be written.
///
/// # Errors
/// When the transaction itself is lost.
pub(super) fn write_down(run: &mut [Message], log: &mut Log<'_>) -> Result<(), StoreError> {
    if log.undone_on_error(|log| append_all(run, log))?.is_err() {
        for event in run.chunks_mut(1) {
            drop(log.undone_on_error(|log| append_all(event, log))?);
        }
    }
    Ok(())
}

/// The first message and those that follow it soon; whether the queue ends after them. In between the thread sleeps: being woken for
/// each message would cost the request path more than the message itself.
pub(super) fn gather(first: Message, queue: &Receiver<Message>) -> (Vec<Message>, bool) {
    let keep = |message: &Message| if is_trace(message) { TRACE_LINGER } else { LINGER };
    let mut until = Instant::now() + keep(&first);
    let mut batch = vec![first];
    loop {
        while batch.len() < BATCH {
            match queue.try_recv() {
                Ok(Message::Close) | Err(TryRecvError::Disconnected) => return (batch, true),
                Ok(message) => {
                    until = until.min(Instant::now() + keep(&message));
                    batch.push(message);
                }
                Err(TryRecvError::Empty) => break,
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || batch.len() == BATCH {
            return (batch, false);
        }
        std::thread::sleep(left.min(LINGER));
    }
}
