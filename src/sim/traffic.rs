//! The traffic: many clients that ask a running Pointsman over HTTP and now and then say how good the answer was.
//!
//! All it knows of the router is what any client sees: the answer, its headers, the feedback endpoint. The quality that it
//! reports is the playbook's truth about the model that served. Feedback is partial and late, as in life: a share of the
//! answers is rated, each after so many further answers have come in.

mod client;
mod mailbox;

use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, stream};
use serde::Serialize;

use self::client::Client;
use self::mailbox::Mailbox;
use super::hash;
use super::playbook::Playbook;

/// Why the traffic cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The HTTP client cannot be built.
    #[error("cannot build an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// How the clients behave.
#[derive(Debug, Clone)]
pub struct TrafficPlan {
    /// The router's address without a path, for example `http://127.0.0.1:8080`.
    pub router: String,
    /// The route they ask for.
    pub route: String,
    /// How many ask at the same time.
    pub clients: usize,
    /// Share of answers taken as a stream, in [0, 1].
    pub streaming: f64,
    /// Share of answers rated, in [0, 1].
    pub rated: f64,
    /// Ratings come after at most so many further answers; 0: at once.
    pub rating_delay: usize,
    /// What the ratings call themselves: `user` or `code`.
    pub rating_source: &'static str,
    /// Decides who streams, what is rated, and when.
    pub seed: u64,
}

/// One answered request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Index of the prompt in the playbook.
    pub play: usize,
    /// The router's id of the decision.
    pub decision: String,
    /// The id in the answer's body.
    pub completion: String,
    /// Index in the playbook of the model that served, as the router says.
    pub served: usize,
    /// What the call cost, as the router says.
    pub cost_usd: Option<f64>,
    /// Whether it came as a stream.
    pub streamed: bool,
    /// The router's reason code.
    pub reason: String,
}

/// What went on besides the answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrafficReport {
    /// Requests that got an answer.
    pub answered: usize,
    /// Of these, how many as a stream.
    pub streamed: usize,
    /// Requests that got none.
    pub failed: usize,
    /// What the first of those said.
    pub first_failure: Option<String>,
    /// Ratings accepted.
    pub rated: usize,
    /// Ratings refused.
    pub refused: usize,
    /// What the first of those said.
    pub first_refusal: Option<String>,
}

/// A rating to be sent.
#[derive(Debug, Clone, PartialEq)]
struct Rating {
    decision: String,
    value: f64,
}

/// Asks every prompt of the playbook once, in order, `plan.clients` at a time; `on_answer` hears of each answer as it comes.
///
/// # Errors
/// When no HTTP client can be built. A request that fails is counted, not an error.
pub async fn drive(
    playbook: &Playbook,
    plan: &TrafficPlan,
    mut on_answer: impl FnMut(Record),
) -> Result<TrafficReport, TrafficError> {
    let run = Run { client: Client::new(plan)?, playbook, plan, state: Mutex::default() };
    let mut answers =
        stream::iter(0..playbook.plays.len()).map(|i| run.one(i)).buffer_unordered(plan.clients.max(1));
    while let Some(record) = answers.next().await {
        record.into_iter().for_each(&mut on_answer);
    }
    drop(answers);
    run.rate(run.with_state(|s| s.mailbox.drain())).await;
    Ok(run.with_state(|s| s.report.clone()))
}

#[derive(Default)]
struct State {
    mailbox: Mailbox<Rating>,
    report: TrafficReport,
}

struct Run<'a> {
    client: Client,
    playbook: &'a Playbook,
    plan: &'a TrafficPlan,
    state: Mutex<State>,
}

impl Run<'_> {
    /// One request with what follows it: the ratings that fall due with its answer.
    async fn one(&self, i: usize) -> Option<Record> {
        let streamed = self.chance(i, 1) < self.plan.streaming;
        let answer = self.client.ask(&self.playbook.plays[i].text, streamed).await;
        let record = answer.and_then(|a| a.into_record(i, streamed, self.playbook));
        let due = self.with_state(|state| self.note(state, &record));
        self.rate(due).await;
        record.ok()
    }

    /// Counts the answer, queues its rating, and returns the ratings that are due.
    fn note(&self, state: &mut State, record: &Result<Record, String>) -> Vec<Rating> {
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                state.report.failed += 1;
                state.report.first_failure.get_or_insert_with(|| why.clone());
                return Vec::new();
            }
        };
        state.report.answered += 1;
        state.report.streamed += usize::from(record.streamed);
        if self.chance(record.play, 2) < self.plan.rated {
            let value = self.playbook.plays[record.play].truths[record.served].quality;
            let delay = (self.chance(record.play, 3) * (self.plan.rating_delay + 1) as f64) as usize;
            state
                .mailbox
                .post(Rating { decision: record.decision.clone(), value }, state.report.answered + delay);
        }
        state.mailbox.due(state.report.answered)
    }

    async fn rate(&self, ratings: Vec<Rating>) {
        for rating in ratings {
            let sent = self.client.rate(&rating).await;
            self.with_state(|state| match sent {
                Ok(()) => state.report.rated += 1,
                Err(why) => {
                    state.report.refused += 1;
                    state.report.first_refusal.get_or_insert(why);
                }
            });
        }
    }

    /// Uniform in [0, 1), fixed for a prompt and purpose.
    fn chance(&self, i: usize, purpose: u64) -> f64 {
        hash::unit(hash::mix(hash::mix(self.plan.seed, i as u64), purpose))
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
