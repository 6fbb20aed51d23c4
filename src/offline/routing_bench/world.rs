//! A data set as the policy sees it: arms with prices, prompts with contexts, and what every arm did.

use std::sync::Arc;

use crate::domain::{Arm, ArmId, CapabilitySet, Context, Limits, Price, ProviderId};
use crate::offline::dataset::{Cell, Dataset, Row};
use crate::wire::chat::prompt_of_text;

/// Fold that is scored; the others are learned from.
const SCORED_FOLD: u8 = 1;

/// Which prompts are learned from first and which come after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// Folds 2 to 4, then fold 1.
    Folds,
    /// The origin's `val`, then its `test`; other prompts are left out.
    Origin,
    /// So many rows, then the others.
    Rows(usize),
}

impl Parting {
    /// Whether row `i` belongs to the second part; `None`: to neither.
    fn is_second(self, i: usize, row: &Row) -> Option<bool> {
        match (self, row.split.as_deref()) {
            (Self::Folds, _) => Some(row.fold == SCORED_FOLD),
            (Self::Rows(first), _) => Some(i >= first),
            (Self::Origin, Some("val")) => Some(false),
            (Self::Origin, Some("test")) => Some(true),
            (Self::Origin, _) => None,
        }
    }

    fn names(self) -> [&'static str; 2] {
        match self {
            Self::Folds => ["folds 2 to 4", "fold 1"],
            Self::Origin => ["split `val`", "split `test`"],
            Self::Rows(_) => ["the first set", "the second set"],
        }
    }
}

/// Where tokens are unknown, an arm's mean call on the training folds counts as so many output tokens.
const PSEUDO_TOKENS: f64 = 1000.0;

/// A price list explains the recorded costs when it misses them by less than this share on average.
const PRICE_TOLERANCE: f64 = 0.02;

/// Why a data set is no world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A part has no prompt that all models answered.
    #[error("{name}: no prompt that all {models} models answered in {part}")]
    NoRows {
        /// Of which set.
        name: String,
        /// How many models.
        models: usize,
        /// Which part.
        part: &'static str,
    },
    /// Contexts or vectors are not one for each prompt.
    #[error("{name}: {rows} prompts but {found} contexts or vectors")]
    Shape {
        /// Of which set.
        name: String,
        /// Prompts.
        rows: usize,
        /// What came with them.
        found: usize,
    },
}

/// What an arm did on a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// In [0, 1].
    pub quality: f64,
    /// USD; 0 in a world without costs.
    pub cost_usd: f64,
}

/// A prompt.
#[derive(Debug, Clone)]
pub struct Case {
    /// Kind of task.
    pub task: String,
    /// Features.
    pub context: Context,
    /// The encoder's vector.
    pub vector: Arc<[f32]>,
    /// Input tokens as the service estimates them; how many were billed nobody tells it.
    pub input_tokens: u32,
    /// What each arm did, shape `[k]`.
    pub outcomes: Vec<Outcome>,
}

/// Prompts that every arm answered.
#[derive(Debug, Clone)]
pub struct World {
    /// The set's name.
    pub name: String,
    /// Shape `[k]`, sorted by id.
    pub arms: Vec<Arm>,
    /// Whether costs are known; without, quality alone counts.
    pub priced: bool,
    /// What comes first; all that the bandit protocol learns from.
    pub training: Vec<Case>,
    /// What comes after.
    pub scored: Vec<Case>,
}

impl World {
    /// `contexts` and `vectors` run parallel to the rows of `dataset`. Prompts that a model has not answered are left out.
    ///
    /// # Errors
    /// When the shapes differ, or nothing is left to learn from or to score.
    pub fn new(
        dataset: &Dataset,
        contexts: &[Context],
        vectors: &[Arc<[f32]>],
        parting: Parting,
    ) -> Result<Self, WorldError> {
        let (name, rows) = (dataset.name.clone(), dataset.rows.len());
        if contexts.len() != rows || vectors.len() != rows {
            return Err(WorldError::Shape { name, rows, found: contexts.len().min(vectors.len()) });
        }
        let full: Vec<(usize, Vec<Cell>)> = dataset
            .cells
            .iter()
            .enumerate()
            .filter_map(|(i, cells)| Some((i, cells.iter().copied().collect::<Option<Vec<Cell>>>()?)))
            .collect();
        let priced = full.iter().flat_map(|(_, cells)| cells).all(|c| c.cost_usd.is_some());
        let second = |i: usize| parting.is_second(i, &dataset.rows[i]);
        let first = || full.iter().filter(|(i, _)| second(*i) == Some(false));
        let price = |k: usize| price_of(first().map(|(_, cells)| &cells[k]), priced);
        let mut world = Self {
            arms: dataset.models.iter().enumerate().map(|(k, model)| arm(model, price(k))).collect(),
            name,
            priced,
            training: Vec::new(),
            scored: Vec::new(),
        };
        for (i, cells) in full {
            let Some(second) = second(i) else { continue };
            let case = Case {
                task: dataset.rows[i].task.clone(),
                context: contexts[i].clone(),
                vector: Arc::clone(&vectors[i]),
                input_tokens: prompt_of_text(&dataset.rows[i].prompt).input_tokens,
                outcomes: cells.iter().map(outcome).collect(),
            };
            if second { world.scored.push(case) } else { world.training.push(case) }
        }
        world.checked(parting)
    }

    fn checked(self, parting: Parting) -> Result<Self, WorldError> {
        for (cases, part) in [&self.training, &self.scored].into_iter().zip(parting.names()) {
            if cases.is_empty() {
                return Err(WorldError::NoRows { name: self.name, models: self.arms.len(), part });
            }
        }
        Ok(self)
    }

    /// What a perfect answer over a useless one is worth, USD, rising: from where only cost counts to where only quality does.
    /// A world without costs has one preference.
    pub fn grid(&self, points: usize) -> Vec<f64> {
        if !self.priced || points < 2 {
            return vec![1.0];
        }
        let means: Vec<f64> = (0..self.arms.len()).map(|k| self.mean(&self.training, k).1).collect();
        let least = means.iter().copied().fold(f64::INFINITY, f64::min).max(1e-9);
        let most = means.iter().copied().fold(0.0, f64::max).max(least);
        let (low, high) = ((0.01 * least).ln(), (1000.0 * most).ln());
        (0..points).map(|i| (low + (high - low) * i as f64 / (points - 1) as f64).exp()).collect()
    }

    /// Mean quality and cost of arm `k` over `cases`.
    pub fn mean(&self, cases: &[Case], k: usize) -> (f64, f64) {
        let n = cases.len().max(1) as f64;
        let sum = |value: fn(&Outcome) -> f64| cases.iter().map(|c| value(&c.outcomes[k])).sum::<f64>() / n;
        (sum(|o| o.quality), sum(|o| o.cost_usd))
    }
}

fn outcome(cell: &Cell) -> Outcome {
    Outcome { quality: cell.quality, cost_usd: cell.cost_usd.unwrap_or(0.0) }
}

fn arm(model: &str, price: Price) -> Arm {
    Arm {
        id: ArmId::from(model),
        provider: ProviderId::from("recorded"),
        model: model.to_owned(),
        price,
        limits: Limits { context_window: u32::MAX, max_output: None },
        capabilities: CapabilitySet::default(),
    }
}

/// What an arm is configured to cost: the prices that explain its recorded costs by its tokens; where only costs are recorded, a price of
/// output at which its mean call is [`PSEUDO_TOKENS`] long; nothing where nothing is recorded.
fn price_of<'a>(cells: impl Iterator<Item = &'a Cell>, priced: bool) -> Price {
    let free = Price::flat(0.0, 0.0);
    if !priced {
        return free;
    }
    let cells: Vec<&Cell> = cells.collect();
    let costs: f64 = cells.iter().filter_map(|c| c.cost_usd).sum();
    let mean = costs / cells.len().max(1) as f64;
    let by_output = || Price { output: (mean * 1e6 / PSEUDO_TOKENS).max(1e-9), ..free };
    price_list(&cells).unwrap_or_else(by_output)
}

/// The prices per million that explain recorded costs by recorded tokens, by least squares; `None` when tokens are missing or the
/// prices miss the costs.
fn price_list(cells: &[&Cell]) -> Option<Price> {
    let rows: Option<Vec<(f64, f64, f64)>> = cells
        .iter()
        .map(|c| Some((f64::from(c.input_tokens?), f64::from(c.output_tokens?), c.cost_usd? * 1e6)))
        .collect();
    let rows = rows?;
    let sum = |term: fn(&(f64, f64, f64)) -> f64| rows.iter().map(term).sum::<f64>();
    let (ii, io, oo) = (sum(|r| r.0 * r.0), sum(|r| r.0 * r.1), sum(|r| r.1 * r.1));
    let (ic, oc) = (sum(|r| r.0 * r.2), sum(|r| r.1 * r.2));
    let determinant = ii * oo - io * io;
    let input = ((oo * ic - io * oc) / determinant).max(0.0);
    let output = ((ii * oc - io * ic) / determinant).max(0.0);
    let price = Price::flat(input, output);
    let missed: f64 = rows.iter().map(|(i, o, c)| (i * input + o * output - c).abs()).sum();
    (price.is_valid() && missed <= PRICE_TOLERANCE * sum(|r| r.2)).then_some(price)
}
