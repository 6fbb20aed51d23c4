//! The handle through which the rest of the program asks for vectors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::batcher::{Job, Workshop, estimated_tokens};
use super::cache::{Encoded, Key, VectorCache, key_of};
use super::load::Load;
use super::weights::Files;
use super::{EmbedError, Embedder, MiniLm, WeightSource, Windower};
use crate::domain::Cut;

/// How the encoder runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Where the weights come from.
    pub weights: WeightSource,
    /// Most tokens read of a text, 16 to 512. Time grows a little faster than this.
    pub max_tokens: usize,
    /// Worker threads; each keeps one core busy while there is work.
    pub threads: usize,
    /// Texts that may wait; one more is refused.
    pub queue: usize,
    /// Most tokens of one forward pass, padding included.
    pub batch_tokens: usize,
    /// Vectors kept; 0 keeps none.
    pub cache_entries: u64,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self {
            weights: WeightSource::BuiltIn,
            max_tokens: 128,
            threads: 1,
            queue: 256,
            batch_tokens: 2048,
            cache_entries: 10_000,
        }
    }
}

impl EncoderOptions {
    fn check(&self) -> Result<(), EmbedError> {
        let wrong = |option, value, fix| Err(EmbedError::BadOption { option, value, fix });
        if !(1..=256).contains(&self.threads) {
            return wrong("threads", self.threads, "give 1 to 256");
        }
        if !(1..=1 << 20).contains(&self.queue) {
            return wrong("queue", self.queue, "give 1 to 1048576");
        }
        if self.batch_tokens < self.max_tokens {
            return wrong("batch_tokens", self.batch_tokens, "give at least max_tokens");
        }
        Ok(())
    }
}

/// What to embed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// The last user message.
    pub ask: &'a str,
    /// What came before it, the most recent first; may be empty.
    pub context: &'a str,
}

/// A text's vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Unit norm, shape `[d]`.
    pub vector: Arc<[f32]>,
    /// Set when the ask was longer than what is read.
    pub cut: Option<Cut>,
    /// Tokens read, with the context's and the separators.
    pub tokens: u32,
    /// Whether it came from the cache.
    pub cached: bool,
}

impl Embedded {
    fn of(encoded: Encoded, cached: bool) -> Self {
        Self { vector: encoded.vector, cut: encoded.cut, tokens: encoded.tokens, cached }
    }
}

type Answer = oneshot::Receiver<Result<Encoded, EmbedError>>;

/// A handle to the running encoder; clones share it. The threads end with the last handle.
#[derive(Clone)]
pub struct Encoder {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: SyncSender<Job>,
    waiting: Arc<AtomicUsize>,
    load: Arc<Load>,
    cache: VectorCache,
    windower: Windower,
    name: &'static str,
    dim: usize,
    options: EncoderOptions,
}

impl Encoder {
    /// Loads the weights, checks them and starts the threads. Takes a few tenths of a second: not for an async thread.
    ///
    /// # Errors
    /// When an option is out of range or a file is missing or wrong.
    pub fn start(options: EncoderOptions) -> Result<Self, EmbedError> {
        options.check()?;
        let files = Files::load(&options.weights)?;
        let windower = Windower::new(&files.tokenizer, options.max_tokens)?;
        let embedder = MiniLm::from_files(files)?;
        Self::with_embedder(options, Box::new(embedder), windower)
    }

    pub(super) fn with_embedder(
        options: EncoderOptions,
        embedder: Box<dyn Embedder>,
        windower: Windower,
    ) -> Result<Self, EmbedError> {
        let (jobs, receiver) = sync_channel(options.queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let cache = VectorCache::new(options.cache_entries);
        let load = Arc::new(Load::default());
        let (name, dim) = (embedder.name(), embedder.dim());
        let workshop = Arc::new(Workshop {
            jobs: Mutex::new(receiver),
            waiting: Arc::clone(&waiting),
            load: Arc::clone(&load),
            embedder,
            windower: windower.clone(),
            cache: cache.clone(),
            batch_tokens: options.batch_tokens,
        });
        for i in 0..options.threads {
            spawn(i, Arc::clone(&workshop))?;
        }
        Ok(Self { shared: Arc::new(Shared { jobs, waiting, load, cache, windower, name, dim, options }) })
    }

    /// The vector of an ask, with a little of its context, most recent first. The async thread only waits.
    ///
    /// # Errors
    /// At once when the queue is full; when the deadline passes; when the encoder fails.
    pub async fn embed(&self, ask: &str, context: &str, deadline: Duration) -> Result<Embedded, EmbedError> {
        let key = key_of(ask, context);
        if let Some(encoded) = self.shared.cache.get(&key) {
            return Ok(Embedded::of(encoded, true));
        }
        let until = Instant::now().checked_add(deadline);
        let (job, answer) = self.job(Text { ask, context }, key, until);
        self.try_send(job)?;
        let late = EmbedError::DeadlineExceeded { after_ms: deadline.as_millis() as u64 };
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(encoded)) => Ok(Embedded::of(encoded?, false)),
            // A worker that skips a late job drops its reply channel, perhaps a moment before the timer fires.
            Ok(Err(_closed)) if until.is_some_and(|until| Instant::now() >= until) => Err(late),
            Ok(Err(_closed)) => Err(EmbedError::WorkerLost),
            Err(_elapsed) => Err(late),
        }
    }

    /// The same, but an error at once when the texts before this one would most likely take all of the deadline. An idle encoder is
    /// always asked, and so is the cache.
    ///
    /// # Errors
    /// As [`Encoder::embed`], and when the encoder has too much before it.
    pub async fn embed_if_soon(
        &self,
        ask: &str,
        context: &str,
        deadline: Duration,
    ) -> Result<Embedded, EmbedError> {
        let shared = &self.shared;
        let expected = shared.load.expected(self.estimate(Text { ask, context }), shared.options.threads);
        if expected > deadline {
            let found = shared.cache.get(&key_of(ask, context));
            let busy = EmbedError::Busy { expected_ms: expected.as_millis() as u64 };
            return found.map(|encoded| Embedded::of(encoded, true)).ok_or(busy);
        }
        self.embed(ask, context, deadline).await
    }

    /// The same without a deadline, for commands; waits for room in the queue. Not for async threads.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn embed_blocking(&self, ask: &str, context: &str) -> Result<Embedded, EmbedError> {
        let text = Text { ask, context };
        self.embed_all(&[text])?.pop().ok_or(EmbedError::WorkerLost)
    }

    /// Vectors of many texts in their order, batched; waits for room in the queue. Not for async threads.
    ///
    /// # Errors
    /// The first fault of any text.
    pub fn embed_all(&self, texts: &[Text<'_>]) -> Result<Vec<Embedded>, EmbedError> {
        let pending: Vec<Result<Embedded, Answer>> = texts
            .iter()
            .map(|text| {
                let key = key_of(text.ask, text.context);
                if let Some(encoded) = self.shared.cache.get(&key) {
                    return Ok(Ok(Embedded::of(encoded, true)));
                }
                let (job, answer) = self.job(*text, key, None);
                self.send(job)?;
                Ok(Err(answer))
            })
            .collect::<Result<_, EmbedError>>()?;
        pending.into_iter().map(settle).collect()
    }

    /// Texts that wait for a worker.
    pub fn queue_len(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Its tokenizer.
    pub fn windower(&self) -> &Windower {
        &self.shared.windower
    }

    /// As decisions record it.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Width of a vector.
    pub fn dim(&self) -> usize {
        self.shared.dim
    }

    /// How it was started.
    pub fn options(&self) -> &EncoderOptions {
        &self.shared.options
    }

    fn job(&self, text: Text<'_>, key: Key, deadline: Option<Instant>) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let (ask, context) = (text.ask.to_owned(), text.context.to_owned());
        let ticket = self.shared.load.enter(self.estimate(text));
        (Job { ask, context, key, deadline, reply, ticket }, answer)
    }

    fn estimate(&self, text: Text<'_>) -> usize {
        estimated_tokens(text.ask.len() + text.context.len(), self.shared.options.max_tokens)
    }

    fn try_send(&self, job: Job) -> Result<(), EmbedError> {
        // Counted before it is sent, or a quick worker would count it out first.
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.shared.jobs.try_send(job).map_err(|error| {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => EmbedError::QueueFull { capacity: self.shared.options.queue },
                TrySendError::Disconnected(_) => EmbedError::WorkerLost,
            }
        })
    }

    fn send(&self, job: Job) -> Result<(), EmbedError> {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.shared.jobs.send(job).map_err(|_closed| {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            EmbedError::WorkerLost
        })
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("name", &self.name()).field("options", self.options()).finish()
    }
}

fn settle(pending: Result<Embedded, Answer>) -> Result<Embedded, EmbedError> {
    match pending {
        Ok(embedded) => Ok(embedded),
        Err(answer) => {
            let encoded = futures::executor::block_on(answer).map_err(|_closed| EmbedError::WorkerLost)??;
            Ok(Embedded::of(encoded, false))
        }
    }
}

fn spawn(number: usize, workshop: Arc<Workshop>) -> Result<(), EmbedError> {
    let work = move || {
        // The matrix products split their work over the current rayon pool: one of this thread alone keeps `threads` honest.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        if let Err(error) = &alone {
            tracing::warn!(%error, "an encoder thread shares the process-wide pool");
        }
        workshop.work();
    };
    std::thread::Builder::new()
        .name(format!("encoder-{number}"))
        .spawn(work)
        .map(drop)
        .map_err(|error| EmbedError::Thread(Arc::new(error)))
}
