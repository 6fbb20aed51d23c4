//! Logged traffic as columns: for each evaluable decision its features, what it was drawn from, and what came of it.
//!
//! One pass over the log; about 300 bytes a decision. A decision is evaluable when its distribution left a choice: explicit, pinned
//! and default decisions, tool loops and greedy routes say nothing about another policy and are counted apart.

mod tariff;

use std::collections::HashMap;

use crate::domain::{
    Arm, ArmId, CompletionEnd, Constraints, Decision, DecisionId, EventBody, FeatureSchema, Feedback,
    Preference, Reason, RouteName, Seq, Strategy, UnixMs, Usage,
};
use crate::store::{ScannedRow, Store, StoreError};
use tariff::Tariff;

/// Rows that are read at once.
pub(super) const SCAN: usize = 4096;

/// The metric that is evaluated.
const METRIC: &str = "quality";

/// Gets (rows done, rows in all).
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;

/// One evaluable decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its place in the log.
    pub seq: Seq,
    /// When it was taken.
    pub at: UnixMs,
    /// Index into [`Traces::routes`].
    pub route: usize,
    /// Index into [`Traces::arms`]: the drawn arm.
    pub arm: usize,
    /// The probability with which it was drawn.
    pub propensity: f64,
    /// The same for rows of one conversation, so that they share a fold.
    pub group: u64,
    /// What the caller wanted.
    pub preference: Preference,
    /// What had to hold.
    pub constraints: Constraints,
    /// Estimated input tokens.
    pub input_tokens: u32,
    /// Mean of the reports by their precision; `None`: nobody reported.
    pub quality: Option<f64>,
    /// What was paid, USD; `None`: not known.
    pub cost_usd: Option<f64>,
    /// Tokens; `None`: not known.
    pub usage: Option<Usage>,
    /// To the last token; `None`: not known.
    pub latency_ms: Option<f64>,
    /// Whether nobody answered.
    pub failed: bool,
    first_share: usize,
    precision: f64,
}

/// Decisions that were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct LeftOut {
    /// No choice was left: explicit, pinned, rule, default, tool loop, pure greedy.
    pub no_choice: u64,
    /// Not embedded, or with features of another schema.
    pub no_features: u64,
    /// Rows of the log that cannot be read.
    pub unreadable: u64,
}

/// The columns.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Length of a feature vector.
    pub dim: usize,
    /// Arms by index.
    pub arms: Vec<ArmId>,
    /// Routes by index.
    pub routes: Vec<RouteName>,
    /// Evaluable decisions in the log's order, shape `[n]`.
    pub rows: Vec<Row>,
    /// What was not evaluable.
    pub left_out: LeftOut,
    features: Vec<f32>,
    shares: Vec<(u32, f64)>,
    tariffs: Vec<Tariff>,
}

impl Traces {
    /// Features of row `i`, shape `[dim]`.
    pub fn features(&self, i: usize) -> &[f32] {
        &self.features[i * self.dim..(i + 1) * self.dim]
    }

    /// What row `i` was drawn from: eligible arms and their probabilities.
    pub fn shares(&self, i: usize) -> &[(u32, f64)] {
        let end = self.rows.get(i + 1).map_or(self.shares.len(), |next| next.first_share);
        &self.shares[self.rows[i].first_share..end]
    }

    /// The arms with the prices that explain the logged costs; an arm whose price cannot be told is left out.
    pub fn catalog(&self) -> Vec<Arm> {
        let mut arms: Vec<Arm> =
            self.arms.iter().zip(&self.tariffs).filter_map(|(id, t)| t.arm(id)).collect();
        arms.sort_by(|a, b| a.id.cmp(&b.id));
        arms
    }

    /// The arm drawn most often on a route.
    pub fn usual_arm(&self, route: usize) -> Option<&ArmId> {
        let mut counts = vec![0u64; self.arms.len()];
        self.rows.iter().filter(|r| r.route == route).for_each(|r| counts[r.arm] += 1);
        let (arm, _) = counts.iter().enumerate().rev().max_by_key(|(_, n)| **n)?;
        self.arms.get(arm)
    }

    /// Index of an arm.
    pub fn index_of(&self, arm: &ArmId) -> Option<usize> {
        self.arms.iter().position(|a| a == arm)
    }

    /// The rows from `at` on, as traces of their own; `self` keeps those before.
    pub fn split_off(&mut self, at: usize) -> Self {
        let at = at.min(self.rows.len());
        let first = self.rows.get(at).map_or(self.shares.len(), |row| row.first_share);
        let mut rows = self.rows.split_off(at);
        rows.iter_mut().for_each(|row| row.first_share -= first);
        Self {
            rows,
            features: self.features.split_off(at * self.dim),
            shares: self.shares.split_off(first),
            arms: self.arms.clone(),
            routes: self.routes.clone(),
            tariffs: self.tariffs.clone(),
            left_out: LeftOut::default(),
            dim: self.dim,
        }
    }

    /// Reads the decisions after `after`, up to and including `upto`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(
        store: &Store,
        (after, upto): (Seq, Seq),
        (schema, dim): (&FeatureSchema, usize),
        progress: &mut Progress<'_>,
    ) -> Result<Self, StoreError> {
        let mut collector = Collector::new(schema.clone(), dim);
        let mut at = after;
        while at < upto {
            let rows = store.scan(at, SCAN)?;
            let Some(last) = rows.last() else { break };
            at = last.seq;
            rows.iter().take_while(|row| row.seq <= upto).for_each(|row| collector.observe(row));
            progress(at.0.min(upto.0) - after.0, upto.0 - after.0);
        }
        Ok(collector.finish())
    }
}

/// Fills the columns row by row.
#[derive(Debug)]
pub struct Collector {
    schema: FeatureSchema,
    traces: Traces,
    index: HashMap<DecisionId, u32>,
}

impl Collector {
    /// Takes decisions of this schema alone.
    pub fn new(schema: FeatureSchema, dim: usize) -> Self {
        let traces = Traces {
            dim,
            arms: Vec::new(),
            routes: Vec::new(),
            rows: Vec::new(),
            left_out: LeftOut::default(),
            features: Vec::new(),
            shares: Vec::new(),
            tariffs: Vec::new(),
        };
        Self { schema, traces, index: HashMap::new() }
    }

    /// Folds in a row of the log. Outcomes of decisions that came before the first row are passed over.
    pub fn observe(&mut self, row: &ScannedRow) {
        match row.event.as_ref().map(|e| &e.body) {
            Err(_) => self.traces.left_out.unreadable += 1,
            Ok(EventBody::Decided(decision)) => self.decided(row.seq, decision),
            Ok(EventBody::Completed(done)) => {
                let Some(at) = self.index.get(&done.decision) else { return };
                let row = &mut self.traces.rows[*at as usize];
                row.cost_usd = done.cost_usd.filter(|c| c.is_finite());
                row.usage = done.usage;
                row.latency_ms = Some(done.total_ms).filter(|ms| ms.is_finite() && *ms > 0.0);
                row.failed = done.end == CompletionEnd::Failed;
                if let (Some(arm), Some(usage), Some(cost)) = (&done.served, done.usage, row.cost_usd) {
                    let arm = self.arm(arm);
                    self.traces.tariffs[arm].paid(&usage, cost);
                }
            }
            Ok(EventBody::Feedback(report)) => self.reported(report),
            Ok(_) => {}
        }
    }

    fn decided(&mut self, seq: Seq, decision: &Decision) {
        if !leaves_a_choice(decision) {
            self.traces.left_out.no_choice += 1;
            return;
        }
        let context = decision.context.as_ref().filter(|c| *c.schema() == self.schema);
        let Some(context) = context.filter(|c| c.features().len() == self.traces.dim) else {
            self.traces.left_out.no_features += 1;
            return;
        };
        let Ok(at) = u32::try_from(self.traces.rows.len()) else { return };
        if self.index.contains_key(&decision.id) {
            return; // the first of two with one id counts, as everywhere
        }
        self.index.insert(decision.id, at);
        let first_share = self.traces.shares.len();
        let shares = decision.distribution.arms().iter().zip(decision.distribution.p());
        for (arm, p) in shares {
            let arm = self.arm(arm);
            self.traces.shares.push((arm as u32, *p));
        }
        for e in &decision.estimates {
            let arm = self.arm(&e.arm);
            self.traces.tariffs[arm].expected(f64::from(decision.input_tokens), e.output_tokens, e.cost_usd);
        }
        let (arm, route) = (self.arm(&decision.arm), self.route(&decision.route));
        self.traces.features.extend_from_slice(context.features());
        self.traces.rows.push(Row {
            seq,
            at: decision.at,
            route,
            arm,
            propensity: decision.propensity,
            group: group(decision),
            preference: decision.preference,
            constraints: decision.constraints,
            input_tokens: decision.input_tokens,
            quality: None,
            cost_usd: None,
            usage: None,
            latency_ms: None,
            failed: false,
            first_share,
            precision: 0.0,
        });
    }

    /// Reports of several sources are averaged by their precision; a revision takes back what it replaces.
    fn reported(&mut self, report: &Feedback) {
        let (Some(at), Some(value)) = (self.index.get(&report.decision), report.value) else { return };
        if report.name != METRIC {
            return;
        }
        let row = &mut self.traces.rows[*at as usize];
        let precision = report.weight / report.source.variance();
        let (old, old_precision) =
            report.replaces.map_or((0.0, 0.0), |r| (r.value, r.weight / report.source.variance()));
        let total = row.precision - old_precision + precision;
        let sum = row.quality.unwrap_or(0.0) * row.precision - old * old_precision + value * precision;
        if total > 1e-9 {
            (row.quality, row.precision) = (Some((sum / total).clamp(0.0, 1.0)), total);
        }
    }

    fn arm(&mut self, arm: &ArmId) -> usize {
        self.traces.index_of(arm).unwrap_or_else(|| {
            self.traces.arms.push(arm.clone());
            self.traces.tariffs.push(Tariff::default());
            self.traces.arms.len() - 1
        })
    }

    fn route(&mut self, route: &RouteName) -> usize {
        self.traces.routes.iter().position(|r| r == route).unwrap_or_else(|| {
            self.traces.routes.push(route.clone());
            self.traces.routes.len() - 1
        })
    }

    /// The columns.
    pub fn finish(self) -> Traces {
        self.traces
    }
}

/// A simple strategy lists what it drew from; the learned one lists all eligible arms, so one alone was really alone.
fn leaves_a_choice(decision: &Decision) -> bool {
    let p = decision.distribution.p();
    let open = p.iter().all(|p| *p < 1.0 - 1e-9);
    let drawn = matches!(decision.reason, Reason::Greedy | Reason::Explore | Reason::Canary)
        && decision.propensity > 0.0;
    let lone = p.len() == 1 && decision.strategy == Strategy::Learned;
    drawn && (open || lone)
}

/// FNV-1a over the session, or over the decision's id without one.
fn group(decision: &Decision) -> u64 {
    let bytes = decision.session.as_ref().map_or(decision.id.as_bytes().as_slice(), |s| s.as_bytes());
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}
