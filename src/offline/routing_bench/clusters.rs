//! Reference with full labels: k-means over the vectors, each cluster with its mean quality and cost (as Avengers-Pro routes).

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::World;

/// Passes over the prompts; the assignment has settled long before.
const PASSES: usize = 30;
/// A cluster's mean is pulled to the arm's mean as by so many prompts.
const SHRINKAGE: f64 = 5.0;
/// Of the starting points.
const SEED: u64 = 5;

/// Expected quality and cost of each arm on each scored prompt, shape `[n][k]`, with `count` clusters of the training vectors.
pub fn predictions(world: &World, count: usize) -> Vec<Vec<(f64, f64)>> {
    let vectors: Vec<&[f32]> = world.training.iter().map(|case| &*case.vector).collect();
    let centres = centres(&vectors, count);
    let arms = world.arms.len();
    let means: Vec<(f64, f64)> = (0..arms).map(|k| world.mean(&world.training, k)).collect();
    let mut sums = vec![(0.0, vec![(0.0, 0.0); arms]); centres.len()];
    for case in &world.training {
        let (count, sum) = &mut sums[nearest(&centres, &case.vector)];
        *count += 1.0;
        for (sum, outcome) in sum.iter_mut().zip(&case.outcomes) {
            *sum = (sum.0 + outcome.quality, sum.1 + outcome.cost_usd);
        }
    }
    let expected = |cluster: usize| {
        let (count, sum) = &sums[cluster];
        let shrunk = |sum: f64, mean: f64| (sum + SHRINKAGE * mean) / (count + SHRINKAGE);
        sum.iter().zip(&means).map(|(s, m)| (shrunk(s.0, m.0), shrunk(s.1, m.1))).collect()
    };
    world.scored.iter().map(|case| expected(nearest(&centres, &case.vector))).collect()
}

/// Lloyd's iterations from starting points that are drawn with the chance of their squared distance (k-means++).
fn centres(vectors: &[&[f32]], count: usize) -> Vec<Vec<f32>> {
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut centres: Vec<Vec<f32>> = vectors.first().map(|v| v.to_vec()).into_iter().collect();
    let mut least: Vec<f64> = vec![f64::MAX; vectors.len()];
    while centres.len() < count.min(vectors.len()) {
        let newest = &centres[centres.len() - 1];
        least.iter_mut().zip(vectors).for_each(|(d, v)| *d = d.min(distance(newest, v)));
        let mut left = rng.random::<f64>() * least.iter().sum::<f64>();
        let drawn = least.iter().position(|d| {
            left -= d;
            left < 0.0
        });
        centres.push(vectors[drawn.unwrap_or(0)].to_vec());
    }
    for _ in 0..PASSES {
        let mut sums = vec![(0usize, vec![0.0f32; vectors[0].len()]); centres.len()];
        for vector in vectors {
            let (count, sum) = &mut sums[nearest(&centres, vector)];
            *count += 1;
            sum.iter_mut().zip(*vector).for_each(|(s, x)| *s += x);
        }
        for (centre, (count, sum)) in centres.iter_mut().zip(sums).filter(|(_, (count, _))| *count > 0) {
            *centre = sum.iter().map(|s| s / count as f32).collect();
        }
    }
    centres
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>())
}

fn nearest(centres: &[Vec<f32>], vector: &[f32]) -> usize {
    let order =
        |a: &usize, b: &usize| distance(&centres[*a], vector).total_cmp(&distance(&centres[*b], vector));
    (0..centres.len()).min_by(order).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_clouds_get_a_centre_each() {
        let points: Vec<Vec<f32>> =
            (0..60).map(|i| vec![(i % 3) as f32 * 10.0 + (i / 3) as f32 * 0.01, 1.0]).collect();
        let vectors: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
        let centres = centres(&vectors, 3);
        let mut firsts: Vec<i64> = centres.iter().map(|c| c[0].round() as i64).collect();
        firsts.sort_unstable();
        assert_eq!(firsts, [0, 10, 20]);
        assert!((0..3).all(|i| nearest(&centres, vectors[i]) == nearest(&centres, vectors[i + 3])));
    }
}
