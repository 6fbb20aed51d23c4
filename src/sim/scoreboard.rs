//! How well a run goes: quality, spend and regret by window and in all, against baselines computed exactly on the same prompts.
//!
//! Spend is what the router itself reported. Quality and regret come from the playbook's truth about the arm that served.
//! Baselines are assumed never to fail; the router has to live with failures.

use std::sync::Arc;

use serde::Serialize;

use crate::domain::Weights;

use super::playbook::Playbook;
use super::traffic::Record;
use super::world::Truth;

/// Utility on the quality scale: quality less cost and latency in units of the default model's median call, by weight.
#[derive(Debug, Clone, Copy)]
pub struct Yardstick {
    /// Quality lost per USD.
    per_usd: f64,
    /// Quality lost per millisecond.
    per_ms: f64,
}

impl Yardstick {
    /// For a route of these weights whose default is model `default` of the playbook.
    pub fn new(playbook: &Playbook, weights: Weights, default: usize) -> Self {
        let median = |of: fn(&Truth) -> f64| median(playbook.plays.iter().map(|p| of(&p.truths[default])));
        let per = |weight: f64, unit: f64| if unit > 0.0 { weight / weights.quality() / unit } else { 0.0 };
        Self {
            per_usd: per(weights.cost(), median(|t| t.cost_usd)),
            per_ms: per(weights.latency(), median(|t| t.total_ms)),
        }
    }

    /// What a call is worth.
    pub fn utility(&self, truth: &Truth) -> f64 {
        truth.quality - self.per_usd * truth.cost_usd - self.per_ms * truth.total_ms
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// A way to choose that needs no learning, to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The one model of the highest mean quality, for everything.
    BestSingle,
    /// The one model of the lowest mean cost, for everything.
    Cheapest,
    /// Any model with equal chance, in expectation.
    Random,
    /// The model of the highest quality on each prompt, at any price.
    BestQuality,
    /// The model of the highest utility on each prompt: no router can beat it.
    Oracle,
}

impl Baseline {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::BestSingle, Self::Cheapest, Self::Random, Self::BestQuality, Self::Oracle];

    /// The name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestSingle => "best single",
            Self::Cheapest => "cheapest",
            Self::Random => "random",
            Self::BestQuality => "best quality",
            Self::Oracle => "oracle",
        }
    }
}

/// Sums over requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// How many.
    pub requests: usize,
    /// Of quality.
    pub quality: f64,
    /// USD.
    pub spend_usd: f64,
    /// Of regret, on the quality scale.
    pub regret: f64,
}

impl Sums {
    fn add(&mut self, quality: f64, spend_usd: f64, regret: f64) {
        self.requests += 1;
        self.quality += quality;
        self.spend_usd += spend_usd;
        self.regret += regret;
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.quality += other.quality;
        self.spend_usd += other.spend_usd;
        self.regret += other.regret;
    }

    fn per_request(&self, sum: f64) -> f64 {
        if self.requests == 0 { 0.0 } else { sum / self.requests as f64 }
    }

    /// Per request.
    pub fn mean_quality(&self) -> f64 {
        self.per_request(self.quality)
    }

    /// USD per request.
    pub fn mean_spend_usd(&self) -> f64 {
        self.per_request(self.spend_usd)
    }

    /// Per request.
    pub fn mean_regret(&self) -> f64 {
        self.per_request(self.regret)
    }
}

/// Some requests in a row, in the order in which they ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The router.
    pub router: Sums,
    /// In the order of [`Baseline::ALL`].
    pub baselines: [Sums; 5],
    /// Answers per model, shape `[k]`.
    pub served: Vec<usize>,
    /// Answers whose cost the router did not report.
    pub unpriced: usize,
}

impl Window {
    fn empty(models: usize) -> Self {
        Self { router: Sums::default(), baselines: Default::default(), served: vec![0; models], unpriced: 0 }
    }

    fn merge(&mut self, other: &Self) {
        self.router.merge(&other.router);
        self.baselines.iter_mut().zip(&other.baselines).for_each(|(a, b)| a.merge(b));
        self.served.iter_mut().zip(&other.served).for_each(|(a, b)| *a += b);
        self.unpriced += other.unpriced;
    }

    /// A baseline's sums.
    pub fn baseline(&self, which: Baseline) -> &Sums {
        &self.baselines[which as usize]
    }
}

/// One row of the final table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// `pointsman` or a baseline.
    pub policy: &'static str,
    /// Mean over all requests, in [0, 1].
    pub quality: f64,
    /// USD over all requests.
    pub spend_usd: f64,
    /// Share of what the best single model would have spent.
    pub spend_vs_best_single: f64,
    /// Regret per request over the first fifth of the run.
    pub regret_first_fifth: f64,
    /// Regret per request over the last fifth.
    pub regret_last_fifth: f64,
}

/// Windows in a run.
const WINDOWS: usize = 25;

/// Keeps the score of one run in memory that does not grow with the requests.
#[derive(Debug, Clone)]
pub struct Scoreboard {
    playbook: Arc<Playbook>,
    yardstick: Yardstick,
    best_single: usize,
    cheapest: usize,
    window: usize,
    windows: Vec<Window>,
}

impl Scoreboard {
    /// For a run over the whole playbook.
    pub fn new(playbook: Arc<Playbook>, yardstick: Yardstick) -> Self {
        Self {
            best_single: playbook.best_single(),
            cheapest: playbook.cheapest(),
            window: playbook.plays.len().div_ceil(WINDOWS).max(1),
            windows: Vec::new(),
            yardstick,
            playbook,
        }
    }

    /// Counts one answer.
    pub fn push(&mut self, record: &Record) {
        if self.windows.last().is_none_or(|w| w.router.requests >= self.window) {
            self.windows.push(Window::empty(self.playbook.models.len()));
        }
        let truths = &self.playbook.plays[record.play].truths;
        let utility = |t: &Truth| self.yardstick.utility(t);
        let oracle = arg_max(truths, utility);
        let best = utility(&truths[oracle]);
        let n = truths.len() as f64;
        let Some(window) = self.windows.last_mut() else { return };
        let served = &truths[record.served];
        window.router.add(served.quality, record.cost_usd.unwrap_or(0.0), best - utility(served));
        window.served[record.served] += 1;
        window.unpriced += usize::from(record.cost_usd.is_none());
        for which in Baseline::ALL {
            let sums = &mut window.baselines[which as usize];
            let k = match which {
                Baseline::BestSingle => self.best_single,
                Baseline::Cheapest => self.cheapest,
                Baseline::BestQuality => arg_max(truths, |t| t.quality),
                Baseline::Oracle => oracle,
                Baseline::Random => {
                    let mean = |of: &dyn Fn(&Truth) -> f64| truths.iter().map(of).sum::<f64>() / n;
                    sums.add(mean(&|t| t.quality), mean(&|t| t.cost_usd), best - mean(&utility));
                    continue;
                }
            };
            sums.add(truths[k].quality, truths[k].cost_usd, best - utility(&truths[k]));
        }
    }

    /// Requests per window.
    pub fn window_size(&self) -> usize {
        self.window
    }

    /// In the order in which they filled; the last may be part full.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// All windows in one.
    pub fn total(&self) -> Window {
        self.sum(&self.windows)
    }

    /// The newest `n` windows in one.
    pub fn newest(&self, n: usize) -> Window {
        self.sum(&self.windows[self.windows.len().saturating_sub(n)..])
    }

    fn first_fifth(&self) -> Window {
        self.sum(&self.windows[..fifth(self.windows.len())])
    }

    fn last_fifth(&self) -> Window {
        self.newest(fifth(self.windows.len()))
    }

    fn sum(&self, windows: &[Window]) -> Window {
        let mut sum = Window::empty(self.playbook.models.len());
        windows.iter().for_each(|w| sum.merge(w));
        sum
    }

    /// The final table: the router first, then the baselines.
    pub fn standings(&self) -> Vec<Standing> {
        let (total, first, last) = (self.total(), self.first_fifth(), self.last_fifth());
        let unit = total.baseline(Baseline::BestSingle).spend_usd;
        let row = |policy, of: &dyn Fn(&Window) -> Sums| Standing {
            policy,
            quality: of(&total).mean_quality(),
            spend_usd: of(&total).spend_usd,
            spend_vs_best_single: if unit > 0.0 { of(&total).spend_usd / unit } else { 0.0 },
            regret_first_fifth: of(&first).mean_regret(),
            regret_last_fifth: of(&last).mean_regret(),
        };
        let router = row("pointsman", &|w| w.router);
        let baselines = Baseline::ALL.map(|which| row(which.as_str(), &|w| *w.baseline(which)));
        std::iter::once(router).chain(baselines).collect()
    }

    /// The playbook that this keeps score of.
    pub fn playbook(&self) -> &Playbook {
        &self.playbook
    }
}

fn fifth(windows: usize) -> usize {
    windows.div_ceil(5)
}

fn arg_max(truths: &[Truth], value: impl Fn(&Truth) -> f64) -> usize {
    (0..truths.len()).max_by(|a, b| value(&truths[*a]).total_cmp(&value(&truths[*b]))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(weights: Weights) -> Scoreboard {
        let book = Arc::new(Playbook::simulated(500, 3));
        let yardstick = Yardstick::new(&book, weights, book.best_single());
        Scoreboard::new(book, yardstick)
    }

    fn record(play: usize, served: usize, cost_usd: Option<f64>) -> Record {
        Record { play, served, cost_usd, ..Record::default() }
    }

    #[test]
    fn always_the_default_is_the_best_single_baseline_to_the_last_digit() {
        let mut board = board(Weights::new(0.9, 0.08, 0.02).unwrap());
        let k = board.playbook().best_single();
        for play in 0..500 {
            let cost = board.playbook().plays[play].truths[k].cost_usd;
            board.push(&record(play, k, Some(cost)));
        }
        let total = board.total();
        assert_eq!(&total.router, total.baseline(Baseline::BestSingle));
        assert_eq!(total.served[k], 500);
        assert!((board.standings()[0].spend_vs_best_single - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_baselines_stand_in_their_order() {
        let mut board = board(Weights::new(0.9, 0.08, 0.02).unwrap());
        (0..500).for_each(|play| board.push(&record(play, 5, Some(0.0))));
        let total = board.total();
        let (quality, regret) = (|b| total.baseline(b).mean_quality(), |b| total.baseline(b).mean_regret());
        assert_eq!(regret(Baseline::Oracle), 0.0);
        assert!(Baseline::ALL.iter().all(|b| regret(*b) >= 0.0));
        assert!(quality(Baseline::BestQuality) >= quality(Baseline::Oracle));
        assert!(quality(Baseline::Oracle) > quality(Baseline::BestSingle));
        assert!(quality(Baseline::BestSingle) > quality(Baseline::Random));
        assert!(quality(Baseline::Random) > quality(Baseline::Cheapest));
    }

    #[test]
    fn an_answer_without_a_cost_is_counted_as_such() {
        let mut board = board(Weights::new(1.0, 0.0, 0.0).unwrap());
        board.push(&record(0, 1, None));
        board.push(&record(1, 1, Some(0.5)));
        assert_eq!((board.total().unpriced, board.total().router.spend_usd), (1, 0.5));
    }

    #[test]
    fn windows_are_bounded_and_fifths_are_the_ends() {
        let mut board = board(Weights::new(1.0, 0.0, 0.0).unwrap());
        (0..500).for_each(|play| board.push(&record(play, if play < 250 { 5 } else { 1 }, Some(0.0))));
        assert_eq!((board.windows().len(), board.window_size()), (25, 20));
        let ours = &board.standings()[0];
        assert!(ours.regret_first_fifth > ours.regret_last_fifth + 0.1, "{ours:?}");
        assert_eq!(board.newest(5).served[1], 100);
    }
}
