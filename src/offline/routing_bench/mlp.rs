//! Reference with full labels: a small network from the vector to every arm's quality (as RouterBench's MLP), untuned.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::world::{Case, World};

/// Units of the one hidden layer.
const HIDDEN: usize = 64;
/// Passes over the prompts.
const PASSES: usize = 40;
/// Prompts a step.
const BATCH: usize = 32;
/// Step size of Adam.
const RATE: f32 = 1e-3;
/// Weight decay (AdamW).
const DECAY: f32 = 0.01;
/// Of weights and order.
const SEED: u64 = 7;
/// Adam's means.
const BETAS: (f32, f32) = (0.9, 0.999);

/// Expected quality of each arm on each scored prompt, shape `[n][k]`.
pub fn qualities(world: &World) -> Vec<Vec<f64>> {
    let mut net = Network::new(world.training[0].vector.len(), world.arms.len());
    net.fit(&world.training);
    let answer = |case: &Case| net.forward(&case.vector).1.iter().map(|y| f64::from(*y)).collect();
    world.scored.iter().map(answer).collect()
}

/// A matrix with bias, its gradient and Adam's moments; shape `[rows][columns + 1]`.
struct Layer {
    weights: Vec<Vec<f32>>,
    gradient: Vec<Vec<f32>>,
    moments: Vec<Vec<(f32, f32)>>,
}

impl Layer {
    fn new(rows: usize, columns: usize, rng: &mut StdRng) -> Self {
        let spread = (6.0 / (rows + columns) as f32).sqrt();
        let row = |rng: &mut StdRng| {
            (0..=columns).map(|j| if j < columns { rng.random_range(-spread..spread) } else { 0.0 }).collect()
        };
        Self {
            weights: (0..rows).map(|_| row(rng)).collect(),
            gradient: vec![vec![0.0; columns + 1]; rows],
            moments: vec![vec![(0.0, 0.0); columns + 1]; rows],
        }
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let row = |w: &Vec<f32>| w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + w[x.len()];
        self.weights.iter().map(row).collect()
    }

    fn push(&mut self, slope: &[f32], x: &[f32]) {
        for (row, slope) in self.gradient.iter_mut().zip(slope).filter(|(_, slope)| **slope != 0.0) {
            row.iter_mut().zip(x.iter().chain([&1.0])).for_each(|(g, x)| *g += slope * x);
        }
    }

    /// AdamW's step number `step`, from 1; the gradient is 0 afterwards.
    fn update(&mut self, step: i32) {
        let (fade1, fade2) = (1.0 - BETAS.0.powi(step), 1.0 - BETAS.1.powi(step));
        let rows = self.weights.iter_mut().zip(&mut self.gradient).zip(&mut self.moments);
        for ((w, g), (m, v)) in rows.flat_map(|((w, g), m)| w.iter_mut().zip(g).zip(m)) {
            *m = BETAS.0 * *m + (1.0 - BETAS.0) * *g;
            *v = BETAS.1 * *v + (1.0 - BETAS.1) * *g * *g;
            *w -= RATE * ((*m / fade1) / ((*v / fade2).sqrt() + 1e-8) + DECAY * *w);
            *g = 0.0;
        }
    }
}

struct Network {
    hidden: Layer,
    output: Layer,
    rng: StdRng,
}

impl Network {
    fn new(inputs: usize, outputs: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(SEED);
        let (hidden, output) = (Layer::new(HIDDEN, inputs, &mut rng), Layer::new(outputs, HIDDEN, &mut rng));
        Self { hidden, output, rng }
    }

    /// Activations of the hidden layer, and the outputs.
    fn forward(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut hidden = self.hidden.apply(x);
        hidden.iter_mut().for_each(|h| *h = h.max(0.0));
        let output = self.output.apply(&hidden);
        (hidden, output)
    }

    fn fit(&mut self, cases: &[Case]) {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        let mut step = 0;
        for _ in 0..PASSES {
            order.shuffle(&mut self.rng);
            for batch in order.chunks(BATCH) {
                batch.iter().for_each(|i| self.learn(&cases[*i], batch.len()));
                step += 1;
                self.hidden.update(step);
                self.output.update(step);
            }
        }
    }

    /// Adds the gradient of the mean squared error on one of `batch` prompts.
    fn learn(&mut self, case: &Case, batch: usize) {
        let (hidden, output) = self.forward(&case.vector);
        let missed =
            output.iter().zip(&case.outcomes).map(|(y, o)| 2.0 * (y - o.quality as f32) / batch as f32);
        let missed: Vec<f32> = missed.collect();
        let mut back = vec![0.0; HIDDEN];
        for (row, slope) in self.output.weights.iter().zip(&missed) {
            back.iter_mut().zip(row).for_each(|(b, w)| *b += slope * w);
        }
        back.iter_mut().zip(&hidden).filter(|(_, h)| **h <= 0.0).for_each(|(b, _)| *b = 0.0);
        self.output.push(&missed, &hidden);
        self.hidden.push(&back, &case.vector);
    }
}
