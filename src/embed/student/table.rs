//! The student's numbers as bytes: read where they lie, nothing is unpacked at the start.
//!
//! Little endian, in this order: length terms f32 `[3, k]`; token weights f32 `[vocabulary]`; then one row a token and one a bucket,
//! each a scale f32 and `k` times i8. A number of a row is its i8 times the scale.

use std::borrow::Cow;

use super::terms::LENGTH_TERMS;

/// Largest i8 that is written.
const LEVELS: f32 = 127.0;

/// How large the parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Tokens.
    pub vocabulary: usize,
    /// Buckets of pairs.
    pub buckets: usize,
    /// Numbers of a row.
    pub components: usize,
}

impl Shape {
    /// Rows of the table.
    pub fn rows(self) -> usize {
        self.vocabulary + self.buckets
    }

    /// Bytes of the whole.
    pub fn bytes(self) -> usize {
        self.rows_start() + self.rows() * self.row_bytes()
    }

    fn weights_start(self) -> usize {
        4 * LENGTH_TERMS * self.components
    }

    fn rows_start(self) -> usize {
        self.weights_start() + 4 * self.vocabulary
    }

    fn row_bytes(self) -> usize {
        4 + self.components
    }
}

/// The numbers in f32, as the fit makes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Shape `[LENGTH_TERMS * k]`.
    pub length: Vec<f32>,
    /// Shape `[vocabulary]`.
    pub weights: Vec<f32>,
    /// Shape `[(vocabulary + buckets) * k]`.
    pub rows: Vec<f32>,
}

/// Writes the table's bytes.
pub fn pack(shape: Shape, numbers: &Numbers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(shape.bytes());
    let plain = numbers.length.iter().chain(&numbers.weights);
    plain.for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    for row in numbers.rows.chunks_exact(shape.components) {
        let scale = row.iter().fold(0.0f32, |most, x| most.max(x.abs())) / LEVELS;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        bytes.extend_from_slice(&scale.to_le_bytes());
        bytes.extend(row.iter().map(|x| ((x * inverse).round() as i8).cast_unsigned()));
    }
    bytes
}

/// The table, its length checked.
pub struct Table {
    shape: Shape,
    bytes: Cow<'static, [u8]>,
    weights: Vec<f32>,
}

impl Table {
    /// `None` when there are more or fewer bytes than the shape has.
    pub fn new(shape: Shape, bytes: Cow<'static, [u8]>) -> Option<Self> {
        if bytes.len() != shape.bytes() {
            return None;
        }
        let weights = floats(&bytes[shape.weights_start()..shape.rows_start()]).collect();
        Some(Self { shape, bytes, weights })
    }

    /// How large it is.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Weights of the tokens, shape `[vocabulary]`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The part of the length terms, shape `[k]`.
    pub fn at_length(&self, length: [f32; LENGTH_TERMS]) -> Vec<f32> {
        let mut sums = vec![0.0; self.shape.components];
        let rows = self.bytes[..self.shape.weights_start()].chunks_exact(4 * self.shape.components);
        for (row, x) in rows.zip(length) {
            sums.iter_mut().zip(floats(row)).for_each(|(sum, y)| *sum += x * y);
        }
        sums
    }

    /// `sums += value * row`; a row that does not exist adds nothing.
    pub fn add_row(&self, row: u32, value: f32, sums: &mut [f32]) {
        let at = self.shape.rows_start() + row as usize * self.shape.row_bytes();
        let Some((scale, levels)) =
            self.bytes.get(at..at + self.shape.row_bytes()).and_then(<[u8]>::split_first_chunk::<4>)
        else {
            return;
        };
        let step = value * f32::from_le_bytes(*scale);
        for (sum, level) in sums.iter_mut().zip(levels) {
            *sum += step * f32::from(level.cast_signed());
        }
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_to_half_a_level() {
        let shape = Shape { vocabulary: 5, buckets: 3, components: 4 };
        let number = |i: usize| ((i * 37 + 11) % 29) as f32 / 7.0 - 2.0;
        let numbers = Numbers {
            length: (0..12).map(number).collect(),
            weights: (0..5).map(|i| i as f32 / 8.0).collect(),
            rows: (0..32).map(|i| if i < 4 { 0.0 } else { number(i) }).collect(),
        };
        let table = Table::new(shape, Cow::Owned(pack(shape, &numbers))).unwrap();
        assert_eq!(table.weights(), numbers.weights);
        for row in 0..8 {
            let mut read = vec![0.0; 4];
            table.add_row(row as u32, 2.0, &mut read);
            let wanted = &numbers.rows[row * 4..][..4];
            let most = wanted.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for (x, y) in read.iter().zip(wanted) {
                assert!((x / 2.0 - y).abs() <= 0.5 * most / LEVELS + 1e-6, "{x} {y}");
            }
        }
        let at = table.at_length([1.0, 2.0, 3.0]);
        assert_eq!(at[0], numbers.length[0] + 2.0 * numbers.length[4] + 3.0 * numbers.length[8]);
        let mut untouched = vec![1.0; 4];
        table.add_row(8, 1.0, &mut untouched);
        assert_eq!(untouched, [1.0; 4]);
    }

    #[test]
    fn bytes_of_another_length_are_no_table() {
        let shape = Shape { vocabulary: 5, buckets: 3, components: 4 };
        assert!(Table::new(shape, Cow::Owned(vec![0; shape.bytes() - 1])).is_none());
    }
}
