//! What the student sees of a token sequence: its tokens and its pairs of neighbours, each with a number, and its length.
//!
//! A token counts `log(1 + times) * weight`, where the weight falls with how common it is (smooth inverse frequency; Arora, Liang and Ma
//! 2017). A pair of neighbours, `[CLS]` and `[SEP]` among them so that starts and ends count, falls into one of some buckets by its
//! hash. Tokens together have length 1, pairs together [`PAIR_SHARE`].

/// Length of the pairs' part; the tokens' part has length 1.
const PAIR_SHARE: f32 = 0.5;
/// Numbers that stand for the length of a text: 1, log and squared log of its tokens.
pub const LENGTH_TERMS: usize = 3;

const CLS: u32 = 101;
const SEP: u32 = 102;

/// The terms of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Row of the table and value; tokens first, each row once, rising within tokens and within pairs.
    pub values: Vec<(u32, f32)>,
    /// See [`LENGTH_TERMS`].
    pub length: [f32; LENGTH_TERMS],
}

/// The terms of a sequence. `weights` has one number a token of the vocabulary; pairs' rows start behind them.
pub fn terms(ids: &[u32], weights: &[f32], buckets: u32) -> Terms {
    let weight = |id: u32| weights.get(id as usize).copied().unwrap_or(1.0);
    let mut values = Vec::with_capacity(2 * ids.len());
    let tokens = ids.iter().filter(|id| !matches!(**id, CLS | SEP)).map(|id| (*id, weight(*id)));
    add_part(&mut values, tokens.collect(), 1.0);
    if buckets > 0 {
        let first = weights.len() as u32;
        let pair = |w: &[u32]| (first + bucket(w[0], w[1], buckets), (weight(w[0]) * weight(w[1])).sqrt());
        add_part(&mut values, ids.windows(2).map(pair).collect(), PAIR_SHARE);
    }
    let log = (ids.len().max(1) as f32).ln();
    Terms { values, length: [1.0, log, log * log] }
}

/// Adds the distinct rows of `seen` with their damped counts, scaled to `length` together.
fn add_part(values: &mut Vec<(u32, f32)>, mut seen: Vec<(u32, f32)>, length: f32) {
    seen.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let from = values.len();
    for group in seen.chunk_by(|a, b| a.0 == b.0) {
        values.push((group[0].0, (1.0 + group.len() as f32).ln() * group[0].1));
    }
    let norm = values[from..].iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        values[from..].iter_mut().for_each(|(_, x)| *x *= length / norm);
    }
}

/// The finaliser of SplitMix64 over both ids, folded into the buckets.
fn bucket(a: u32, b: u32, buckets: u32) -> u32 {
    let x = ((u64::from(a) << 32) | u64::from(b)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) % u64::from(buckets)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(values: &[(u32, f32)]) -> f32 {
        values.iter().map(|(_, x)| x * x).sum::<f32>().sqrt()
    }

    #[test]
    fn tokens_and_pairs_have_their_lengths_and_each_row_stands_once() {
        let weights = [1.0, 0.5, 0.25, 1.0];
        let found = terms(&[CLS, 2, 1, 2, 1, 3, SEP], &weights, 16);
        let split = found.values.iter().position(|(row, _)| *row >= 4).unwrap();
        let (tokens, pairs) = found.values.split_at(split);
        assert_eq!(tokens.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3]);
        assert!((length(tokens) - 1.0).abs() < 1e-6 && (length(pairs) - PAIR_SHARE).abs() < 1e-6);
        assert!(pairs.windows(2).all(|p| p[0].0 < p[1].0) && pairs.iter().all(|(row, _)| *row < 20));
        let ratio = (3f32.ln() * 0.5) / (2f32.ln() * 1.0);
        assert!((tokens[0].1 / tokens[2].1 - ratio).abs() < 1e-6);
    }

    #[test]
    fn order_counts_through_the_pairs_alone() {
        let weights = [1.0; 8];
        let (a, b) =
            (terms(&[CLS, 1, 2, 3, SEP], &weights, 1024), terms(&[CLS, 3, 2, 1, SEP], &weights, 1024));
        assert_eq!(a.values[..3], b.values[..3]);
        assert_ne!(a.values, b.values);
    }

    #[test]
    fn an_empty_text_has_terms_without_a_nan() {
        for ids in [&[CLS, SEP][..], &[]] {
            let found = terms(ids, &[1.0; 4], 8);
            assert!(
                found.values.iter().all(|(_, x)| x.is_finite()) && found.length.iter().all(|x| x.is_finite())
            );
        }
    }
}
