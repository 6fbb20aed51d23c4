//! What a cut text says outside its windows, as a small random projection of its words.
//!
//! The windows of a long text skip words, and two texts that differ only there would get one vector. So the vector of a cut text is
//! turned a little towards a sketch of the whole text: each word adds a few signs at places that its hash picks (a count sketch;
//! Charikar, Chen and Farach-Colton 2002), weighted by where it stands, so that order counts too. Like texts have like sketches.

/// Places that one word touches.
const PLACES: u64 = 4;
/// Length of the sketch that is added to a unit vector: the angle is at most 2.9 degrees, cosine >= 0.9987.
const SHARE: f32 = 0.05;

/// Turns a unit vector, shape `[d]`, towards the sketch of `text`; it keeps unit norm.
pub(super) fn blend(vector: &mut [f32], text: &str) {
    let sketch = sketch(text, vector.len());
    let length = norm(&sketch);
    if length == 0.0 {
        return;
    }
    for (x, s) in vector.iter_mut().zip(&sketch) {
        *x += SHARE * s / length;
    }
    let length = norm(vector);
    for x in vector.iter_mut() {
        *x /= length;
    }
}

/// Shape `[dim]`; all zero for a text without words.
fn sketch(text: &str, dim: usize) -> Vec<f32> {
    let mut sums = vec![0.0f32; dim];
    let start = text.as_ptr() as usize;
    for word in text.split_whitespace() {
        let position = (word.as_ptr() as usize - start) as f32 / text.len() as f32;
        let weight = 1.0 + position;
        let mut bits = mix(hash(word));
        for _ in 0..PLACES {
            let sign = if bits & 1 == 0 { weight } else { -weight };
            sums[(bits >> 1) as usize % dim] += sign;
            bits = mix(bits);
        }
    }
    // Damped, or the words of every sentence would drown those of one.
    sums.iter().map(|s| s.signum() * s.abs().sqrt()).collect()
}

/// FNV-1a.
fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64.
fn mix(bits: u64) -> u64 {
    let x = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>() / (norm(a) * norm(b))
    }

    fn words(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("word{i}")).collect()
    }

    #[test]
    fn like_texts_have_like_sketches_and_others_do_not() {
        let text = words(400);
        let mut changed = text.clone();
        changed[200] = "other".into();
        let other: Vec<String> = (0..400).map(|i| format!("thing{i}")).collect();
        let [a, b, c] = [text, changed, other].map(|t| sketch(&t.join(" "), 384));
        assert!(cosine(&a, &b) > 0.98 && a != b);
        assert!(cosine(&a, &c).abs() < 0.4);
    }

    #[test]
    fn the_order_of_words_counts() {
        let text = words(50);
        let mut swapped = text.clone();
        swapped.swap(3, 40);
        assert_ne!(sketch(&text.join(" "), 384), sketch(&swapped.join(" "), 384));
    }

    #[test]
    fn a_blended_vector_stays_close_and_of_unit_norm() {
        let mut v = vec![0.0f32; 384];
        v[7] = 1.0;
        blend(&mut v, &words(1000).join(" "));
        assert!((norm(&v) - 1.0).abs() < 1e-6 && v[7] > 0.99);
        let before = v.clone();
        blend(&mut v, "  \n ");
        assert_eq!(v, before);
    }
}
