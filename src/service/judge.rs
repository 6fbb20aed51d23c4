//! A sampled judge: a configured model rates a small share of the answers in the background, with its own budget.
//!
//! Prompt and answer are in memory only, in a bounded queue; what does not fit is dropped and counted. The judge never rates an
//! answer on a choice in which it was a candidate itself. What it says goes in as a report with source `judge`, with the judge's
//! name, the probability with which the answer was sampled, and the cost; the learner calibrates it against people's ratings.

mod prompt;
mod spend;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::prompt::clipped;
pub(super) use self::prompt::{content, delta};
use self::spend::Spend;
use super::clock::now;
use super::feedback::outcome;
use super::{Live, Service};
use crate::dispatch::{Conduct, Health, Plan, Target, run};
use crate::domain::{Arm, ArmId, Decision, DecisionId, FeedbackRef, Judged, Source, Usage};
use crate::provider::Reply;
use crate::store::{NewFeedback, Report, Store};
use crate::wire::chat::ChatRequest;

/// Answers that may wait for the judge.
const QUEUE: usize = 64;
/// No answer is sampled with less.
const FLOOR: f64 = 0.01;
/// Uncertainty of the expected quality at which the configured share holds; above it more is sampled.
const USUAL_SD: f64 = 0.05;
/// Longest judgement, tokens.
const MOST_TOKENS: u32 = 300;

/// `[judge]`
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeSettings {
    /// Which model judges.
    pub model: ArmId,
    /// Share of the answers that it sees where the learner is as sure as usual.
    pub share: f64,
    /// What it may cost per day (UTC), USD.
    pub usd_per_day: f64,
}

/// What became of sampled answers.
#[derive(Debug, Default)]
struct Counts {
    judged: AtomicU64,
    unreadable: AtomicU64,
    failed: AtomicU64,
    was_candidate: AtomicU64,
    no_text: AtomicU64,
    queue_full: AtomicU64,
    over_budget: AtomicU64,
}

/// The same, to look at.
#[derive(Debug, Clone, Serialize)]
pub struct JudgeView {
    /// Which model.
    pub model: ArmId,
    /// The configured share.
    pub share: f64,
    /// The budget.
    pub usd_per_day: f64,
    /// Spent today.
    pub spent_today_usd: f64,
    /// Answers rated.
    pub judged: u64,
    /// Judgements that were no score.
    pub unreadable: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Left out: the judge was a candidate itself.
    pub was_candidate: u64,
    /// Left out: a tool call, or no text at all.
    pub no_text: u64,
    /// Left out: the queue was full.
    pub queue_full: u64,
    /// Left out: the day's budget was spent.
    pub over_budget: u64,
}

/// An answer to be judged.
struct Case {
    decision: DecisionId,
    pi: f64,
    ask: String,
    answer: String,
}

/// The requests' side of the judge.
pub struct Judge {
    settings: JudgeSettings,
    queue: mpsc::Sender<Case>,
    waiting: Mutex<Option<mpsc::Receiver<Case>>>,
    counts: Counts,
    spend: Spend,
}

/// One completion that the judge is to see.
pub(super) struct Hearing {
    judge: Arc<Judge>,
    decision: DecisionId,
    pi: f64,
    ask: String,
    answer: String,
}

impl Judge {
    /// What was spent today is read from the log, so a restart grants no second budget. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn new(settings: JudgeSettings, store: &Store) -> Result<Self, crate::store::StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let spend = Spend::resumed(settings.usd_per_day, now(), store)?;
        Ok(Self { settings, queue, waiting: Mutex::new(Some(waiting)), counts: Counts::default(), spend })
    }

    /// Whether the answer to this decision is to be judged: a hash of its id against the share.
    pub(super) fn sample(self: &Arc<Self>, decision: &Decision, ask: &str) -> Option<Hearing> {
        let pi = self.probability(decision);
        if unit(decision.id) >= pi {
            return None;
        }
        let candidate = decision.arm == self.settings.model
            || decision.distribution.arms().contains(&self.settings.model)
            || decision.excluded.iter().any(|e| e.arm == self.settings.model);
        if candidate {
            self.counts.was_candidate.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (judge, ask) = (Arc::clone(self), clipped(ask));
        Some(Hearing { judge, decision: decision.id, pi, ask, answer: String::new() })
    }

    /// The configured share, more where the chosen arm's quality is uncertain, never below the floor.
    fn probability(&self, decision: &Decision) -> f64 {
        let of_arm = decision.estimates.iter().find(|e| e.arm == decision.arm);
        let doubt = of_arm.map_or(1.0, |e| (e.quality.sd / USUAL_SD).max(1.0));
        (self.settings.share * doubt).clamp(FLOOR, 1.0)
    }

    /// How it goes.
    pub fn view(&self) -> JudgeView {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let c = &self.counts;
        JudgeView {
            model: self.settings.model.clone(),
            share: self.settings.share,
            usd_per_day: self.settings.usd_per_day,
            spent_today_usd: self.spend.today(now()),
            judged: of(&c.judged),
            unreadable: of(&c.unreadable),
            failed: of(&c.failed),
            was_candidate: of(&c.was_candidate),
            no_text: of(&c.no_text),
            queue_full: of(&c.queue_full),
            over_budget: of(&c.over_budget),
        }
    }
}

/// A number in [0, 1) that belongs to the decision.
fn unit(id: DecisionId) -> f64 {
    let digest = Sha256::new().chain_update(b"judge").chain_update(id.as_bytes()).finalize();
    let high = digest.iter().take(7).fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    high as f64 / (1u64 << 56) as f64
}

impl Hearing {
    /// A piece of the answer.
    pub(super) fn hear(&mut self, text: &str) {
        if self.answer.len() < prompt::LONGEST {
            self.answer.push_str(text);
        }
    }

    /// The whole answer went out; `served` gave it.
    pub(super) fn close(self, served: Option<&Arc<Arm>>) {
        let Self { judge, decision, pi, ask, answer } = self;
        let counts = &judge.counts;
        if served.is_none_or(|arm| arm.id == judge.settings.model) {
            counts.was_candidate.fetch_add(1, Ordering::Relaxed);
        } else if answer.trim().is_empty() {
            counts.no_text.fetch_add(1, Ordering::Relaxed);
        } else if judge.queue.try_send(Case { decision, pi, ask, answer: clipped(&answer) }).is_err() {
            counts.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Starts judging in the background, one answer after the other, until the handle is aborted. Nothing when no judge is
/// configured, or it runs already.
pub fn start(live: &Arc<Live>) -> Option<JoinHandle<()>> {
    let judge = live.service().judge.clone()?;
    let taken = judge.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let (mut waiting, live) = (taken?, Arc::clone(live));
    Some(tokio::spawn(async move {
        let health = Arc::new(Health::default());
        while let Some(case) = waiting.recv().await {
            let service = live.service();
            let Some(target) = service.fleet.target(&judge.settings.model) else { continue };
            hold(&service, &judge, (target, Arc::clone(&health)), case).await;
        }
    }))
}

async fn hold(service: &Service, judge: &Judge, (target, health): (Target, Arc<Health>), case: Case) {
    let price = target.arm.price;
    let Ok(request) = prompt::request(&case.ask, &case.answer, &case.decision.to_string(), MOST_TOKENS)
    else {
        judge.counts.failed.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let most = Usage {
        input_tokens: prompt::tokens_at_most(&request),
        output_tokens: MOST_TOKENS,
        ..Usage::default()
    };
    let reserved = price.cost_usd(&most);
    if !judge.spend.reserve(reserved, now()) {
        judge.counts.over_budget.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let plan = Plan::starting_now(vec![target], Conduct::default(), health);
    let (said, cost_usd) = match ask(&plan, request).await {
        Some((said, usage, cost)) => {
            (said, cost.unwrap_or_else(|| usage.map_or(reserved, |u| price.cost_usd(&u))))
        }
        None => {
            judge.spend.settle(reserved, 0.0, now());
            judge.counts.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    judge.spend.settle(reserved, cost_usd, now());
    let value = prompt::score(&said);
    let count = if value.is_some() { &judge.counts.judged } else { &judge.counts.unreadable };
    count.fetch_add(1, Ordering::Relaxed);
    // What cannot be read has cost all the same: it is logged without a value.
    let judged = Some(Judged { by: judge.settings.model.clone(), pi: case.pi, cost_usd });
    let report = Report { value, source: Source::Judge, judged, ..Report::quality(0.0) };
    let to = FeedbackRef::Decision(case.decision);
    let result = service.store.feedback(NewFeedback { to, by: None, report, within_ms: None }).await;
    service.metrics.feedback(outcome(&result));
}

/// What the judge says, its tokens and its stated cost.
async fn ask(plan: &Plan, request: Arc<ChatRequest>) -> Option<(String, Option<Usage>, Option<f64>)> {
    match run(plan, request).await {
        Ok(dispatched) => match dispatched.reply {
            Reply::Full { body, facts, .. } => {
                Some((prompt::content(&body).unwrap_or_default(), facts.usage, facts.cost_usd))
            }
            Reply::Stream(_) => None,
        },
        Err(failed) => {
            tracing::warn!(cause = %failed.cause, "the judge did not answer");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sampled_share_is_the_probability() {
        let n = 20_000u128;
        let ids = (0..n).map(|i| DecisionId::from_uuid(uuid::Uuid::from_u128(i * 7919)));
        let share = ids.filter(|id| unit(*id) < 0.05).count() as f64 / n as f64;
        assert!((share - 0.05).abs() < 0.006, "{share}");
    }
}
