//! Principal components, by the eigenvectors of the covariance matrix.
//!
//! For wide data the leading ones come from subspace iteration with a Rayleigh-Ritz step (Golub and Van Loan, Matrix Computations,
//! section 8.2); the small symmetric problem inside is solved by cyclic Jacobi rotations (section 8.5). Both start from fixed values:
//! the same rows give the same components.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Extra directions that are iterated along: they make the wanted ones converge faster.
const OVERSAMPLING: usize = 16;
const MAX_ITERATIONS: usize = 500;
/// Relative change of the eigenvalues at which the iteration ends.
const TOLERANCE: f64 = 1e-12;
const MAX_SWEEPS: usize = 60;

/// Why there are no components.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PcaError {
    /// Fewer than two rows, or fewer columns than components, or no component wanted.
    #[error("cannot take {components} components of {rows} rows with {columns} columns")]
    Shape {
        /// Rows given.
        rows: usize,
        /// Columns given.
        columns: usize,
        /// Components wanted.
        components: usize,
    },
    /// A NaN or an infinity.
    #[error("row {row} has a number that is not finite")]
    NotFinite {
        /// Which row, from 0.
        row: usize,
    },
    /// The rows span fewer directions than wanted: a whitening scale would be infinite.
    #[error("the rows vary in {rank} directions only, {components} are wanted")]
    Rank {
        /// Directions with variance.
        rank: usize,
        /// Components wanted.
        components: usize,
    },
}

/// The leading principal components of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// Mean of the rows, shape `[d]`.
    pub mean: Array1<f64>,
    /// Orthonormal rows, the direction of most variance first, shape `[k, d]`. The largest entry of each is positive.
    pub components: Array2<f64>,
    /// Variance along each, falling, shape `[k]`.
    pub variances: Array1<f64>,
    /// Variance along all directions together.
    pub total_variance: f64,
}

impl Pca {
    /// The first `k` components of rows `[n, d]`.
    ///
    /// # Errors
    /// When there are too few rows or directions, or a number is not finite.
    pub fn fit(rows: ArrayView2<'_, f64>, k: usize) -> Result<Self, PcaError> {
        let (n, d) = rows.dim();
        let Some(mean) = rows.mean_axis(Axis(0)).filter(|_| n >= 2 && (1..=d).contains(&k)) else {
            return Err(PcaError::Shape { rows: n, columns: d, components: k });
        };
        if let Some(row) = rows.outer_iter().position(|r| r.iter().any(|x| !x.is_finite())) {
            return Err(PcaError::NotFinite { row });
        }
        let centred = &rows - &mean;
        let covariance = centred.t().dot(&centred) / (n as f64 - 1.0);
        let total_variance = covariance.diag().sum();
        let (variances, mut components) = leading_eigen(&covariance, k);
        let least = total_variance * 1e-12;
        let rank = variances.iter().filter(|v| **v > least).count();
        if rank < k {
            return Err(PcaError::Rank { rank, components: k });
        }
        components.rows_mut().into_iter().for_each(point_up);
        Ok(Self { mean, components, variances, total_variance })
    }

    /// Factors that give each component unit variance, `1 / sqrt(variance)`, shape `[k]`.
    pub fn whitening(&self) -> Array1<f64> {
        self.variances.mapv(|v| 1.0 / v.sqrt())
    }

    /// Share of the variance that the components hold, in [0, 1].
    pub fn explained(&self) -> f64 {
        self.variances.sum() / self.total_variance
    }
}

fn point_up(mut row: ndarray::ArrayViewMut1<'_, f64>) {
    let largest = row.iter().fold(0.0f64, |best, x| if x.abs() > best.abs() { *x } else { best });
    if largest < 0.0 {
        row.mapv_inplace(|x| -x);
    }
}

/// The `k` largest eigenvalues of a symmetric positive semidefinite matrix `[d, d]` and their vectors as rows `[k, d]`.
fn leading_eigen(matrix: &Array2<f64>, k: usize) -> (Array1<f64>, Array2<f64>) {
    let d = matrix.nrows();
    let width = k + OVERSAMPLING;
    if width * 2 >= d {
        let (values, vectors) = symmetric_eigen(matrix.clone());
        return (first(&values, k), first_rows(&vectors, k));
    }
    // Any start that is no eigenspace of a usual matrix will do.
    let mut basis =
        Array2::from_shape_fn((width, d), |(i, j)| ((i * d + j) as f64 * 0.754_877_666).fract() - 0.5);
    orthonormalise(&mut basis);
    let mut before = Array1::<f64>::zeros(k);
    for _ in 0..MAX_ITERATIONS {
        basis = basis.dot(matrix);
        orthonormalise(&mut basis);
        let (values, turn) = symmetric_eigen(basis.dot(matrix).dot(&basis.t()));
        basis = turn.dot(&basis);
        let values = first(&values, k);
        let change = (&values - &before).mapv(f64::abs).sum();
        before = values;
        if change <= TOLERANCE * before.sum() {
            break;
        }
    }
    (before, first_rows(&basis, k))
}

fn first(values: &Array1<f64>, k: usize) -> Array1<f64> {
    values.view().split_at(Axis(0), k).0.to_owned()
}

fn first_rows(rows: &Array2<f64>, k: usize) -> Array2<f64> {
    rows.view().split_at(Axis(0), k).0.to_owned()
}

/// Modified Gram-Schmidt over the rows, twice for orthogonality to rounding; a row without length of its own becomes zero.
fn orthonormalise(rows: &mut Array2<f64>) {
    for _ in 0..2 {
        for i in 0..rows.nrows() {
            let (done, mut rest) = rows.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for earlier in done.rows() {
                let along = earlier.dot(&row);
                row.scaled_add(-along, &earlier);
            }
            let length = row.dot(&row).sqrt();
            row.mapv_inplace(|x| if length > 1e-300 { x / length } else { 0.0 });
        }
    }
}

/// All eigenvalues of a symmetric matrix `[d, d]`, falling, and their vectors as rows `[d, d]`.
fn symmetric_eigen(mut a: Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let d = a.nrows();
    let mut vectors = Array2::<f64>::eye(d);
    let scale = a.iter().map(|x| x * x).sum::<f64>();
    for _ in 0..MAX_SWEEPS {
        let off: f64 = (0..d).map(|i| (0..i).map(|j| a[[i, j]] * a[[i, j]]).sum::<f64>()).sum();
        if off <= scale * 1e-30 {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|i, j| a[[*j, *j]].total_cmp(&a[[*i, *i]]));
    (order.iter().map(|i| a[[*i, *i]]).collect(), vectors.select(Axis(0), &order))
}

/// One Jacobi rotation that zeroes `a[p, q]`.
fn rotate(a: &mut Array2<f64>, vectors: &mut Array2<f64>, p: usize, q: usize) {
    if a[[p, q]] == 0.0 {
        return;
    }
    let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for i in 0..a.nrows() {
        let (x, y) = (a[[i, p]], a[[i, q]]);
        a[[i, p]] = c * x - s * y;
        a[[i, q]] = s * x + c * y;
    }
    turn_rows(a, p, q, (c, s));
    turn_rows(vectors, p, q, (c, s));
}

fn turn_rows(a: &mut Array2<f64>, p: usize, q: usize, (c, s): (f64, f64)) {
    for j in 0..a.ncols() {
        let (x, y) = (a[[p, j]], a[[q, j]]);
        a[[p, j]] = c * x - s * y;
        a[[q, j]] = s * x + c * y;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(n: usize, d: usize) -> impl Strategy<Value = Array2<f64>> {
        proptest::collection::vec(-1.0..1.0f64, n * d).prop_map(move |values| {
            // Columns of falling size, so that the directions are told apart.
            Array2::from_shape_vec((n, d), values).unwrap()
                * Array1::from_shape_fn(d, |j| 1.0 / (1 + j) as f64)
        })
    }

    fn largest(matrix: &Array2<f64>) -> f64 {
        matrix.iter().fold(0.0, |m, x| m.max(x.abs()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn whitened_rows_have_unit_covariance(rows in rows(120, 60)) {
            let pca = Pca::fit(rows.view(), 6).unwrap();
            let z = (&rows - &pca.mean).dot(&pca.components.t()) * pca.whitening();
            let covariance = z.t().dot(&z) / (rows.nrows() as f64 - 1.0);
            prop_assert!(largest(&(covariance - Array2::<f64>::eye(6))) < 1e-6);
        }

        #[test]
        fn components_are_orthonormal_and_of_falling_variance(rows in rows(80, 50)) {
            let pca = Pca::fit(rows.view(), 5).unwrap();
            let gram = pca.components.dot(&pca.components.t());
            prop_assert!(largest(&(gram - Array2::<f64>::eye(5))) < 1e-9);
            prop_assert!(pca.variances.windows(2).into_iter().all(|v| v[0] >= v[1]));
            prop_assert!(pca.explained() > 0.0 && pca.explained() <= 1.0 + 1e-12);
        }

        #[test]
        fn subspace_iteration_finds_what_the_full_solution_finds(rows in rows(90, 64)) {
            let centred = &rows - &rows.mean_axis(Axis(0)).unwrap();
            let covariance = centred.t().dot(&centred);
            let (few, _) = leading_eigen(&covariance, 4);
            let (all, vectors) = symmetric_eigen(covariance.clone());
            for i in 0..4 {
                prop_assert!((few[i] - all[i]).abs() < 1e-8 * all[0], "{} {}", few[i], all[i]);
            }
            let diagonal = Array2::from_diag(&all);
            prop_assert!(largest(&(vectors.t().dot(&diagonal).dot(&vectors) - covariance)) < 1e-9);
        }
    }

    #[test]
    fn a_known_ellipse() {
        let rows = ndarray::array![[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]];
        let pca = Pca::fit(rows.view(), 2).unwrap();
        let half = std::f64::consts::FRAC_1_SQRT_2;
        assert!(
            (pca.components[[0, 0]] - half).abs() < 1e-12 && (pca.components[[0, 1]] - half).abs() < 1e-12
        );
        assert!((pca.variances[0] - 12.0).abs() < 1e-12 && (pca.variances[1] - 4.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn bad_rows_are_named() {
        let flat = Array2::<f64>::ones((9, 4));
        assert_eq!(Pca::fit(flat.view(), 2), Err(PcaError::Rank { rank: 0, components: 2 }));
        assert!(matches!(Pca::fit(flat.view(), 5), Err(PcaError::Shape { components: 5, .. })));
        let mut holed = flat;
        holed[[3, 1]] = f64::NAN;
        assert_eq!(Pca::fit(holed.view(), 2), Err(PcaError::NotFinite { row: 3 }));
    }
}
