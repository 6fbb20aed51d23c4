//! Cholesky factors of packed symmetric matrices (Golub and Van Loan, Matrix Computations, 4.2).
//!
//! A factor is rebuilt after each change instead of being updated: at d = 45 that costs some microseconds and no error builds up.

/// Numbers in a packed lower triangle of order `d`.
pub const fn packed_len(d: usize) -> usize {
    d * (d + 1) / 2
}

/// The matrix is not positive definite, not even with the largest jitter, or holds a number that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a matrix of order {order} is not positive definite")]
pub struct NotPositive {
    /// Rows of the matrix.
    pub order: usize,
}

/// Inner product, in an order that does not depend on the machine.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a4.zip(b4) {
        for lane in 0..4 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + tail
}

/// Adds `w * x x'` to packed `a`; `x` has shape `[d]`.
pub fn rank_one(a: &mut [f64], x: &[f64], w: f64) {
    let mut at = 0;
    for (i, xi) in x.iter().enumerate() {
        let scaled = w * xi;
        for (entry, xj) in a[at..=at + i].iter_mut().zip(x) {
            *entry += scaled * xj;
        }
        at += i + 1;
    }
}

/// `x' a x` for packed `a`; `x` has shape `[d]`.
pub fn quadratic(a: &[f64], x: &[f64]) -> f64 {
    let mut at = 0;
    let mut sum = 0.0;
    for (i, xi) in x.iter().enumerate() {
        sum += xi * (2.0 * dot(&a[at..at + i], &x[..i]) + a[at + i] * xi);
        at += i + 1;
    }
    sum
}

/// The lower triangle `L` of `a = L L'`, packed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cholesky {
    order: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors packed `a` of order `d`. When it is not quite positive definite, a jitter of 1e-12 to 1e-4 of the mean
    /// diagonal is added until it is.
    ///
    /// # Errors
    /// When no jitter helps, or a number is not finite.
    pub fn factor(a: &[f64], d: usize) -> Result<Self, NotPositive> {
        let trace: f64 = (0..d).map(|i| a[packed_len(i + 1) - 1]).sum();
        let scale = trace.abs() / d.max(1) as f64;
        [0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4]
            .into_iter()
            .find_map(|jitter| Self::factor_with(a, d, jitter * scale))
            .ok_or(NotPositive { order: d })
    }

    fn factor_with(a: &[f64], d: usize, jitter: f64) -> Option<Self> {
        let mut lower = a.to_vec();
        for i in 0..d {
            let (done, rest) = lower.split_at_mut(packed_len(i));
            let row = &mut rest[..=i];
            for j in 0..i {
                let above = &done[packed_len(j)..=packed_len(j) + j];
                row[j] = (row[j] - dot(&row[..j], &above[..j])) / above[j];
            }
            let pivot = row[i] + jitter - dot(&row[..i], &row[..i]);
            if !(pivot.is_finite() && pivot > 1e-14 * a[packed_len(i + 1) - 1].abs()) {
                return None;
            }
            row[i] = pivot.sqrt();
        }
        Some(Self { order: d, lower })
    }

    /// The ratio of the largest to the smallest squared pivot: a lower bound of the matrix's condition number, and cheap. Solutions
    /// lose about as many digits as it has.
    pub fn condition(&self) -> f64 {
        let pivots = (0..self.order).map(|i| self.lower[packed_len(i + 1) - 1]);
        let (least, most) = pivots.fold((f64::INFINITY, 0.0f64), |(l, m), p| (l.min(p), m.max(p)));
        if self.order == 0 { 1.0 } else { (most / least).powi(2) }
    }

    /// `L y = b`, in place; shape `[d]`.
    pub fn solve_lower(&self, b: &mut [f64]) {
        let mut at = 0;
        for i in 0..self.order {
            b[i] = (b[i] - dot(&self.lower[at..at + i], &b[..i])) / self.lower[at + i];
            at += i + 1;
        }
    }

    /// `L' y = b`, in place; shape `[d]`.
    pub fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..self.order).rev() {
            let row = &self.lower[packed_len(i)..=packed_len(i) + i];
            let solved = b[i] / row[i];
            b[i] = solved;
            for (earlier, l) in b[..i].iter_mut().zip(row) {
                *earlier -= solved * l;
            }
        }
    }

    /// `a y = b`, in place; shape `[d]`.
    pub fn solve(&self, b: &mut [f64]) {
        self.solve_lower(b);
        self.solve_upper(b);
    }

    /// `x' a^-1 x`; `scratch` is overwritten. Never negative.
    pub fn inverse_quadratic(&self, x: &[f64], scratch: &mut Vec<f64>) -> f64 {
        scratch.clear();
        scratch.extend_from_slice(x);
        self.solve_lower(scratch);
        dot(scratch, scratch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(d: usize) -> Vec<f64> {
        let mut a = vec![0.0; packed_len(d)];
        (0..d).for_each(|i| a[packed_len(i + 1) - 1] = 1.0);
        a
    }

    fn times(a: &[f64], x: &[f64]) -> Vec<f64> {
        let at = |i: usize, j: usize| a[packed_len(i.max(j)) + i.min(j)];
        (0..x.len()).map(|i| (0..x.len()).map(|j| at(i, j) * x[j]).sum()).collect()
    }

    proptest! {
        #[test]
        fn rank_one_updates_and_solves_agree_with_the_plain_product(
            rows in prop::collection::vec(prop::collection::vec(-3.0..3.0f64, 7), 0..20),
            b in prop::collection::vec(-3.0..3.0f64, 7),
        ) {
            let mut a = identity(7);
            rows.iter().for_each(|x| rank_one(&mut a, x, 0.7));
            let factor = Cholesky::factor(&a, 7).unwrap();
            let mut y = b.clone();
            factor.solve(&mut y);
            for (back, want) in times(&a, &y).iter().zip(&b) {
                prop_assert!((back - want).abs() < 1e-9);
            }
            let form = factor.inverse_quadratic(&b, &mut Vec::new());
            prop_assert!((form - dot(&b, &y)).abs() < 1e-9);
            prop_assert!((quadratic(&a, &y) - dot(&b, &y)).abs() < 1e-9);
        }
    }

    #[test]
    fn a_singular_matrix_is_helped_by_jitter_and_a_negative_one_refused() {
        let mut ones = vec![0.0; packed_len(3)];
        rank_one(&mut ones, &[1.0, 1.0, 1.0], 1.0);
        assert!(Cholesky::factor(&ones, 3).is_ok());
        assert_eq!(Cholesky::factor(&[-1.0], 1), Err(NotPositive { order: 1 }));
        assert!(Cholesky::factor(&[f64::NAN], 1).is_err());
        assert!(Cholesky::factor(&[f64::INFINITY], 1).is_err());
    }
}
