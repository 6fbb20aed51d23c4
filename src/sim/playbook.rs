//! The playbook of a run: the prompts in the order they are asked, and what every model makes of each.
//!
//! It is the one form of the truth for the upstream, the traffic and the scoreboard, whether it was simulated or recorded.

use std::collections::HashMap;

use crate::domain::{Limits, Price};
use crate::offline::dataset::{Cell, Dataset};

use super::hash;
use super::prompts;
use super::world::{Faults, Model, Truth, World};

/// Why recorded outcomes cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaybookError {
    /// A model that is not in the folder.
    #[error("--models: {model:?} is not in {dataset}; it has: {known}")]
    UnknownModel {
        /// As asked for.
        model: String,
        /// The folder's name.
        dataset: String,
        /// The names it has, joined.
        known: String,
    },
    /// Routing needs costs.
    #[error("{dataset} records no cost for {model}; choose models with known costs through --models")]
    NoCost {
        /// The model.
        model: String,
        /// The folder's name.
        dataset: String,
    },
    /// Fewer than two models or no prompt at all.
    #[error(
        "{dataset} has {models} models with {prompts} prompts that all of them answered; routing needs 2 and 1"
    )]
    TooSmall {
        /// The folder's name.
        dataset: String,
        /// How many models are left.
        models: usize,
        /// How many prompts are left.
        prompts: usize,
    },
}

/// How the upstream states what a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// By tokens and list price alone.
    Tokens,
    /// In `usage.cost` as well, as OpenRouter does.
    Stated,
}

/// One prompt and the truth about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Play {
    /// Names the prompt in reports; for recorded outcomes the folder's id.
    pub id: String,
    /// The words.
    pub text: String,
    /// Kind of task.
    pub kind: String,
    /// By model, shape `[k]`.
    pub truths: Vec<Truth>,
}

/// Prompts in the order they are asked, with the truth.
#[derive(Debug, Clone)]
pub struct Playbook {
    /// Where the truth comes from, for people.
    pub name: String,
    /// Models by name, shape `[k]`.
    pub models: Vec<Model>,
    /// Prompts, all of different words, shape `[n]`.
    pub plays: Vec<Play>,
    /// How costs are stated.
    pub billing: Billing,
    by_words: HashMap<u64, usize>,
}

impl Playbook {
    /// `n` distinct prompts of the simulated world.
    pub fn simulated(n: usize, seed: u64) -> Self {
        let world = World::new(seed);
        let plays = prompts::generate(n, seed)
            .into_iter()
            .enumerate()
            .map(|(i, prompt)| Play {
                id: format!("sim:{seed}:{i}"),
                truths: (0..world.models().len()).map(|k| world.truth(&prompt, k)).collect(),
                kind: prompt.kind.as_str().to_owned(),
                text: prompt.text,
            })
            .collect();
        Self::new("simulated world".to_owned(), world.models().to_vec(), plays, Billing::Tokens)
    }

    /// At most `n` prompts of a folder of recorded outcomes, in an order drawn from `seed`. `models` empty: all of them.
    /// Of prompts with the same words the first stays.
    ///
    /// # Errors
    /// When a model is unknown or has a prompt without a cost, or fewer than two models or no prompt are left.
    pub fn recorded(data: &Dataset, models: &[String], n: usize, seed: u64) -> Result<Self, PlaybookError> {
        let data = chosen(data, models)?;
        let prices = synthetic_prices(&data)?;
        let mut order = first_of_each_text(&data);
        order.sort_by_key(|row| hash::mix(hash::text(&data.rows[*row].id), seed));
        order.truncate(n);
        let plays = order.into_iter().map(|row| recorded_play(&data, row, &prices)).collect();
        let models =
            data.models.iter().zip(&prices).map(|(name, price)| recorded_model(name, *price)).collect();
        Ok(Self::new(format!("recorded outcomes of {}", data.name), models, plays, Billing::Stated))
    }

    fn new(name: String, models: Vec<Model>, plays: Vec<Play>, billing: Billing) -> Self {
        let by_words = plays.iter().enumerate().map(|(i, p)| (hash::text(&p.text), i)).collect();
        Self { name, models, plays, billing, by_words }
    }

    /// The index of the prompt with these words.
    pub fn find(&self, text: &str) -> Option<usize> {
        self.by_words.get(&hash::text(text)).copied().filter(|i| self.plays[*i].text == text)
    }

    /// The index of a model.
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|m| m.name == name)
    }

    /// What model `k` does on average; stands in for prompts that are not in the book.
    pub fn average(&self, k: usize) -> Truth {
        let n = self.plays.len().max(1) as f64;
        let mean = |of: fn(&Truth) -> f64| self.plays.iter().map(|p| of(&p.truths[k])).sum::<f64>() / n;
        Truth {
            quality: mean(|t| t.quality),
            cost_usd: mean(|t| t.cost_usd),
            input_tokens: mean(|t| f64::from(t.input_tokens)) as u32,
            output_tokens: mean(|t| f64::from(t.output_tokens)) as u32,
            first_token_ms: mean(|t| t.first_token_ms),
            total_ms: mean(|t| t.total_ms),
        }
    }

    /// The model of the highest mean quality: what a careful team would use for everything.
    pub fn best_single(&self) -> usize {
        let quality: Vec<f64> = (0..self.models.len()).map(|k| self.average(k).quality).collect();
        (0..quality.len()).max_by(|a, b| quality[*a].total_cmp(&quality[*b])).unwrap_or(0)
    }

    /// The model of the lowest mean cost.
    pub fn cheapest(&self) -> usize {
        let cost: Vec<f64> = (0..self.models.len()).map(|k| self.average(k).cost_usd).collect();
        (0..cost.len()).min_by(|a, b| cost[*a].total_cmp(&cost[*b])).unwrap_or(0)
    }
}

fn chosen(data: &Dataset, models: &[String]) -> Result<Dataset, PlaybookError> {
    if let Some(model) = models.iter().find(|m| !data.models.contains(m)) {
        return Err(PlaybookError::UnknownModel {
            model: model.clone(),
            dataset: data.name.clone(),
            known: data.models.join(", "),
        });
    }
    let data = data.restricted_to(if models.is_empty() { &data.models } else { models });
    if data.models.len() < 2 || data.rows.is_empty() {
        return Err(PlaybookError::TooSmall {
            dataset: data.name,
            models: data.models.len(),
            prompts: data.rows.len(),
        });
    }
    Ok(data)
}

/// Tokens that the cheapest recorded call of a model counts: then rounding to whole tokens is off by 0.05 % at most.
const LEAST_TOKENS: f64 = 1_000.0;
/// Tokens that the dearest recorded call counts at most; bounds the above when a call was nearly free.
const MOST_TOKENS: f64 = 10_000_000.0;

/// Output prices at which whole tokens give the recorded costs, USD per million, shape `[k]`. Input is free.
fn synthetic_prices(data: &Dataset) -> Result<Vec<f64>, PlaybookError> {
    (0..data.models.len())
        .map(|k| {
            let cost = |cells: &Vec<Option<Cell>>| cells[k].and_then(|c| c.cost_usd);
            let costs: Option<Vec<f64>> = data.cells.iter().map(cost).collect();
            let costs = costs.ok_or_else(|| PlaybookError::NoCost {
                model: data.models[k].clone(),
                dataset: data.name.clone(),
            })?;
            let least = costs.iter().copied().filter(|c| *c > 0.0).fold(f64::INFINITY, f64::min);
            let most = costs.iter().copied().fold(0.0, f64::max);
            let per_token = (least / LEAST_TOKENS).max(most / MOST_TOKENS);
            Ok(if per_token.is_finite() { per_token * 1e6 } else { 0.0 })
        })
        .collect()
}

fn first_of_each_text(data: &Dataset) -> Vec<usize> {
    let mut seen = HashMap::with_capacity(data.rows.len());
    for (row, prompt) in data.rows.iter().enumerate() {
        seen.entry(hash::text(&prompt.prompt)).or_insert(row);
    }
    seen.into_values().collect()
}

fn recorded_play(data: &Dataset, row: usize, prices: &[f64]) -> Play {
    let prompt = &data.rows[row];
    let truths =
        data.cells[row].iter().flatten().zip(prices).map(|(cell, price)| recorded_truth(cell, *price));
    Play {
        id: prompt.id.clone(),
        text: prompt.prompt.clone(),
        kind: prompt.task.clone(),
        truths: truths.collect(),
    }
}

fn recorded_truth(cell: &Cell, price: f64) -> Truth {
    let cost_usd = cell.cost_usd.unwrap_or(0.0);
    let tokens = if price > 0.0 { (cost_usd * 1e6 / price).round() } else { 0.0 };
    let total_ms = cell.latency_ms.unwrap_or(0.0);
    Truth {
        quality: cell.quality,
        cost_usd,
        input_tokens: cell.input_tokens.unwrap_or(0),
        output_tokens: tokens as u32,
        first_token_ms: total_ms * 0.3,
        total_ms,
    }
}

fn recorded_model(name: &str, price: f64) -> Model {
    Model {
        name: name.to_owned(),
        price: Price::flat(0.0, price),
        limits: Limits { context_window: 2 * MOST_TOKENS as u32, max_output: None },
        faults: Faults::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::dataset::Row;

    fn dataset() -> Dataset {
        let row = |id: &str, prompt: &str| Row {
            id: id.into(),
            task: "t".into(),
            fold: 2,
            split: None,
            prompt: prompt.into(),
        };
        let cell = |quality, cost| {
            Some(Cell {
                quality,
                cost_usd: Some(cost),
                input_tokens: Some(7),
                output_tokens: None,
                latency_ms: None,
            })
        };
        Dataset {
            name: "tiny".into(),
            rows: vec![row("a", "first words"), row("b", "second words"), row("c", "first words")],
            models: vec!["dear".into(), "good".into(), "thrifty".into()],
            cells: vec![
                vec![cell(1.0, 0.0123456), cell(0.9, 0.002), cell(0.2, 1.7e-5)],
                vec![cell(0.5, 0.4567891), cell(0.4, 0.003), cell(0.6, 3.3e-4)],
                vec![cell(0.1, 0.0223456), cell(0.4, 0.003), cell(0.2, 2.7e-5)],
            ],
        }
    }

    #[test]
    fn recorded_costs_come_back_from_whole_tokens_within_a_thousandth() {
        let book = Playbook::recorded(&dataset(), &[], 10, 1).unwrap();
        assert_eq!(book.plays.len(), 2, "of two prompts with the same words the first stays");
        for (play, (k, model)) in
            book.plays.iter().flat_map(|p| book.models.iter().enumerate().map(move |m| (p, m)))
        {
            let truth = play.truths[k];
            let usage = crate::domain::Usage { output_tokens: truth.output_tokens, ..Default::default() };
            let from_tokens = model.price.cost_usd(&usage);
            assert!((from_tokens / truth.cost_usd - 1.0).abs() < 1e-3, "{from_tokens} {}", truth.cost_usd);
        }
        let a = book.find("first words").unwrap();
        assert_eq!((book.plays[a].id.as_str(), book.plays[a].truths[0].quality), ("a", 1.0));
        assert_eq!(book.find("third words"), None);
    }

    #[test]
    fn a_wrong_choice_of_models_is_named() {
        let fault = |models: &[&str]| {
            let models: Vec<String> = models.iter().map(|m| m.to_string()).collect();
            Playbook::recorded(&dataset(), &models, 10, 1).unwrap_err().to_string()
        };
        assert_eq!(fault(&["good", "god"]), "--models: \"god\" is not in tiny; it has: dear, good, thrifty");
        assert!(fault(&["good"]).contains("tiny has 1 models"));
        let mut unpriced = dataset();
        unpriced.cells[1][2].as_mut().unwrap().cost_usd = None;
        let error = Playbook::recorded(&unpriced, &[], 10, 1).unwrap_err();
        assert!(matches!(error, PlaybookError::NoCost { ref model, .. } if model == "thrifty"), "{error}");
    }

    #[test]
    fn the_order_is_the_seeds() {
        let ids = |seed| -> Vec<String> {
            Playbook::simulated(5, seed).plays.into_iter().map(|p| p.text).collect()
        };
        assert_eq!(ids(3), ids(3));
        assert_ne!(ids(3), ids(4));
    }
}
