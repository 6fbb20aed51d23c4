//! Prompt to context: which embedder reads, how long a request waits for it, and who answers in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Context, Cut, Encoding, Prompt};
use crate::embed::{EmbedError, Encoder, Student};
use crate::routing::Featurizer;
use crate::telemetry::{EmbedReason, Metrics};

/// As decisions record them.
const MINILM: &str = "minilm";
const STUDENT: &str = "student";

/// Who turns prompts into components.
#[derive(Debug)]
pub enum Reading {
    /// MiniLM alone; without its vector there is no context.
    MiniLm(Encoder),
    /// The student alone, on the request's own task.
    Student(Student),
    /// MiniLM while it is expected to answer within the deadline, else the student; it also answers when MiniLM is late or fails.
    Adaptive(Encoder, Student),
}

/// Makes the contexts of requests.
#[derive(Debug)]
pub struct Reader {
    /// Who reads.
    pub reading: Reading,
    /// Components and prompt to context.
    pub featurizer: Arc<Featurizer>,
    /// How long a request waits for MiniLM.
    pub deadline: Duration,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The features of a prompt, or why there are none.
pub type Contextual = (Result<Option<Context>, String>, Encoding);

impl Reader {
    /// MiniLM, where it runs.
    pub fn encoder(&self) -> Option<&Encoder> {
        match &self.reading {
            Reading::MiniLm(encoder) | Reading::Adaptive(encoder, _) => Some(encoder),
            Reading::Student(_) => None,
        }
    }

    /// The features of a prompt. Waits at most the deadline.
    pub async fn context(&self, prompt: &Prompt) -> Contextual {
        let started = Instant::now();
        let (read, reason) = self.read(prompt).await;
        let embedder = read.as_ref().map_or(Encoding::NOBODY, |read| read.embedder);
        self.metrics.embedded(embedder, reason, started.elapsed());
        match read {
            Ok(Read { context, cut, embedder }) => {
                (Ok(Some(context)), Encoding { embedder: embedder.into(), cut })
            }
            Err(error) => (Err(error), Encoding::none()),
        }
    }

    async fn read(&self, prompt: &Prompt) -> (Result<Read, String>, EmbedReason) {
        let (ask, before) = (prompt.ask.as_str(), prompt.context.as_str());
        let (embedded, student) = match &self.reading {
            Reading::Student(student) => return (self.glance(student, prompt), EmbedReason::Chosen),
            Reading::MiniLm(encoder) => (encoder.embed(ask, before, self.deadline).await, None),
            Reading::Adaptive(encoder, student) => {
                (encoder.embed_if_soon(ask, before, self.deadline).await, Some(student))
            }
        };
        match (embedded, student) {
            (Ok(embedded), _) => {
                let context = self.featurizer.context(&embedded.vector, prompt).map_err(|e| e.to_string());
                let read = |context| Read { context, cut: embedded.cut, embedder: MINILM };
                (context.map(read), EmbedReason::Chosen)
            }
            (Err(error), Some(student)) => (self.glance(student, prompt), reason_of(&error)),
            (Err(error), None) => (Err(format!("the prompt was not embedded: {error}")), reason_of(&error)),
        }
    }

    fn glance(&self, student: &Student, prompt: &Prompt) -> Result<Read, String> {
        let glance = student.read(&prompt.ask, &prompt.context).map_err(|e| e.to_string())?;
        let context =
            self.featurizer.context_of_components(&glance.components, prompt).map_err(|e| e.to_string())?;
        Ok(Read { context, cut: glance.cut, embedder: STUDENT })
    }
}

struct Read {
    context: Context,
    cut: Option<Cut>,
    embedder: &'static str,
}

/// Why MiniLM did not read a prompt.
fn reason_of(error: &EmbedError) -> EmbedReason {
    match error {
        EmbedError::Busy { .. } | EmbedError::QueueFull { .. } => EmbedReason::Busy,
        EmbedError::DeadlineExceeded { .. } => EmbedReason::Late,
        _ => EmbedReason::Failed,
    }
}
