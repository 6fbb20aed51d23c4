//! Ridge regression on sparse rows with many targets, by conjugate gradients on the normal equations (Golub and Van Loan, section 11.5).
//!
//! One thread and fixed orders of sums: the same rows give the same bits.

/// How strongly, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ridge {
    pub ridge: f32,
    pub steps: usize,
}

/// Rows of few non-zero numbers.
#[derive(Debug, Default)]
pub(super) struct SparseRows {
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
}

impl SparseRows {
    pub fn push(&mut self, row: &[(u32, f32)]) {
        self.starts.push(self.entries.len());
        self.entries.extend_from_slice(row);
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn row(&self, i: usize) -> &[(u32, f32)] {
        let end = self.starts.get(i + 1).copied().unwrap_or(self.entries.len());
        &self.entries[self.starts[i]..end]
    }

    /// `A w` for `w` of shape `[columns * k]`: shape `[n * k]`.
    pub fn times(&self, w: &[f32], k: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.len() * k];
        for (i, sums) in out.chunks_exact_mut(k).enumerate() {
            for (column, x) in self.row(i) {
                add(sums, *x, &w[*column as usize * k..][..k]);
            }
        }
        out
    }

    /// `A' y` for `y` of shape `[n * k]`: shape `[columns * k]`.
    fn transposed_times(&self, y: &[f32], columns: usize, k: usize) -> Vec<f32> {
        let mut out = vec![0.0; columns * k];
        for (i, y) in y.chunks_exact(k).enumerate() {
            for (column, x) in self.row(i) {
                add(&mut out[*column as usize * k..][..k], *x, y);
            }
        }
        out
    }

    /// `w` of shape `[columns * k]` with the least `|A w - y|^2 + ridge |w|^2`, nearly: after some steps. `progress` gets the step.
    pub fn ridge(
        &self,
        y: &[f32],
        (columns, k): (usize, usize),
        Ridge { ridge, steps }: Ridge,
        progress: &mut dyn FnMut(usize),
    ) -> Vec<f32> {
        let mut w = vec![0.0; columns * k];
        let mut rest = self.transposed_times(y, columns, k);
        let mut direction = rest.clone();
        let mut size = dots(&rest, &rest, k);
        for step in 0..steps {
            let mut image = self.transposed_times(&self.times(&direction, k), columns, k);
            add(&mut image, ridge, &direction);
            let curvature = dots(&direction, &image, k);
            let alpha = ratios(&size, &curvature);
            scaled_add(&mut w, &alpha, &direction);
            let back: Vec<f32> = alpha.iter().map(|a| -a).collect();
            scaled_add(&mut rest, &back, &image);
            let now = dots(&rest, &rest, k);
            let beta = ratios(&now, &size);
            for (d, r) in direction.chunks_exact_mut(k).zip(rest.chunks_exact(k)) {
                d.iter_mut().zip(r).zip(&beta).for_each(|((d, r), b)| *d = r + b * *d);
            }
            size = now;
            progress(step + 1);
        }
        w
    }
}

fn add(sums: &mut [f32], x: f32, y: &[f32]) {
    sums.iter_mut().zip(y).for_each(|(sum, y)| *sum += x * y);
}

/// `sums += x y` with one factor a column.
fn scaled_add(sums: &mut [f32], factors: &[f32], y: &[f32]) {
    for (sums, y) in sums.chunks_exact_mut(factors.len()).zip(y.chunks_exact(factors.len())) {
        sums.iter_mut().zip(y).zip(factors).for_each(|((sum, y), x)| *sum += x * y);
    }
}

/// Inner products column by column, shape `[k]`.
fn dots(a: &[f32], b: &[f32], k: usize) -> Vec<f64> {
    let mut sums = vec![0.0; k];
    for (a, b) in a.chunks_exact(k).zip(b.chunks_exact(k)) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += f64::from(*a) * f64::from(*b));
    }
    sums
}

/// A column that has nothing left to gain stands still.
fn ratios(above: &[f64], below: &[f64]) -> Vec<f32> {
    above.iter().zip(below).map(|(a, b)| if *b > 0.0 { (a / b) as f32 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_fulfils_the_normal_equations() {
        let mut rows = SparseRows::default();
        let number = |i: usize| ((i * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
        for i in 0..40 {
            rows.push(&[((i % 7) as u32, number(i)), ((7 + i % 5) as u32, number(i + 50))]);
        }
        let y: Vec<f32> = (0..80).map(|i| number(3 * i)).collect();
        let mut steps = 0;
        let w = rows.ridge(&y, (13, 2), Ridge { ridge: 0.5, steps: 40 }, &mut |step| steps = step);
        let mut fault = rows.transposed_times(&rows.times(&w, 2), 13, 2);
        add(&mut fault, 0.5, &w);
        let wanted = rows.transposed_times(&y, 13, 2);
        assert!(fault.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{fault:?} {wanted:?}");
        assert_eq!(w[24..], [0.0, 0.0], "a column that no row has stays at its prior");
        assert_eq!(steps, 40);
    }
}
