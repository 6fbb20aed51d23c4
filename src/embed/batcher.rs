//! The worker threads: they take waiting jobs, pad those of like length together, and answer each.
//!
//! A worker never waits for a batch to fill: it takes what is there, up to the token budget. A job whose caller has gone or whose
//! deadline has passed is skipped before it costs anything. A panic ends the batch, not the worker: the dropped reply channels tell
//! the callers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ndarray::ArrayView1;
use tokio::sync::oneshot;

use super::cache::{Encoded, Key, VectorCache};
use super::load::{Load, Ticket};
use super::{EmbedError, Embedder, TokenWindow, Tokenized, Windower, sketch};

/// Bytes a token has at least in most scripts; to fill batches and to foresee waits before anything is tokenised.
const BYTES_PER_TOKEN: usize = 3;

/// Tokens that a text of so many bytes most likely has, separators included.
pub(super) fn estimated_tokens(bytes: usize, most: usize) -> usize {
    (bytes / BYTES_PER_TOKEN + 2).min(most)
}

/// One text that waits.
pub(super) struct Job {
    pub ask: String,
    pub context: String,
    pub key: Key,
    pub deadline: Option<Instant>,
    pub reply: oneshot::Sender<Result<Encoded, EmbedError>>,
    /// Counts the job until it is answered or dropped.
    pub ticket: Ticket,
}

impl Job {
    fn wanted(&self) -> bool {
        !self.reply.is_closed() && self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}

/// What the workers share.
pub(super) struct Workshop {
    pub jobs: Mutex<Receiver<Job>>,
    /// Jobs sent and not yet taken.
    pub waiting: Arc<AtomicUsize>,
    pub load: Arc<Load>,
    pub embedder: Box<dyn Embedder>,
    pub windower: Windower,
    pub cache: VectorCache,
    /// Most tokens of one forward pass, padding included.
    pub batch_tokens: usize,
}

impl Workshop {
    /// Works until every sender is gone.
    pub fn work(&self) {
        while let Some(jobs) = self.take() {
            if catch_unwind(AssertUnwindSafe(|| self.answer(jobs))).is_err() {
                tracing::error!("an encoder batch panicked; its requests are answered without a context");
            }
        }
    }

    /// Waits for one job and takes what else is there, up to about the budget. `None`: the pool is closed.
    fn take(&self) -> Option<Vec<Job>> {
        let queue = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut jobs = vec![queue.recv().ok()?];
        let mut tokens = jobs[0].ticket.tokens();
        while tokens < self.batch_tokens
            && let Ok(job) = queue.try_recv()
        {
            tokens += job.ticket.tokens();
            jobs.push(job);
        }
        drop(queue);
        self.waiting.fetch_sub(jobs.len(), Ordering::Relaxed);
        Some(jobs)
    }

    fn answer(&self, jobs: Vec<Job>) {
        let mut ready = Vec::with_capacity(jobs.len());
        for job in jobs.into_iter().filter(Job::wanted) {
            match self.windower.window(&job.ask, &job.context) {
                Ok(tokenized) => ready.push((job, tokenized)),
                Err(error) => reply(job, Err(error)),
            }
        }
        ready.sort_by_key(|(_, tokenized)| tokenized.window.ids.len());
        while !ready.is_empty() {
            let size = batch_size(&ready, self.batch_tokens);
            let rest = ready.split_off(size);
            self.answer_batch(std::mem::replace(&mut ready, rest));
        }
    }

    fn answer_batch(&self, batch: Vec<(Job, Tokenized)>) {
        let windows: Vec<TokenWindow> = batch.iter().map(|(_, t)| t.window.clone()).collect();
        let started = Instant::now();
        let embedded = self.embedder.embed(&windows);
        self.load.timed(batch.iter().map(|(job, _)| job.ticket.tokens()).sum(), started.elapsed());
        match embedded {
            Ok(rows) => {
                for ((job, tokenized), row) in batch.into_iter().zip(rows.rows()) {
                    let encoded = finish(row, &job, &tokenized);
                    if let Ok(encoded) = &encoded {
                        self.cache.put(job.key, encoded.clone());
                    }
                    reply(job, encoded);
                }
            }
            Err(error) => batch.into_iter().for_each(|(job, _)| reply(job, Err(error.clone()))),
        }
    }
}

/// The caller may be gone; that is no fault.
fn reply(job: Job, result: Result<Encoded, EmbedError>) {
    let _ = job.reply.send(result);
}

/// How many of the first, shortest windows fit the budget when all are padded to the longest of them; at least one.
fn batch_size(sorted: &[(Job, Tokenized)], budget: usize) -> usize {
    let fits = |(i, (_, t)): (usize, &(Job, Tokenized))| (i + 1) * t.window.ids.len() <= budget;
    sorted.iter().enumerate().take_while(|entry| fits(*entry)).count().max(1)
}

fn finish(row: ArrayView1<'_, f32>, job: &Job, tokenized: &Tokenized) -> Result<Encoded, EmbedError> {
    let mut vector = row.to_vec();
    if tokenized.cut.is_some() {
        sketch::blend(&mut vector, &job.ask);
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    // A NaN fails this test too.
    if (length - 1.0).abs() < 1e-3 {
        let tokens = tokenized.window.ids.len() as u32;
        Ok(Encoded { vector: vector.into(), cut: tokenized.cut, tokens })
    } else {
        Err(EmbedError::NotFinite)
    }
}
