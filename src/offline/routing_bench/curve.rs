//! Curves of quality over spend, and the area under them.

use serde::Serialize;

/// Mean spend per request and mean quality of a way to route.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// USD per request.
    pub cost_usd: f64,
    /// In [0, 1].
    pub quality: f64,
}

/// The stretch of spend that curves are compared on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// The cheapest arm, USD per request.
    pub low: f64,
    /// The dearest arm that some spend is worth, USD per request.
    pub high: f64,
}

/// Samples of an area; the rule is the midpoint rule.
const SAMPLES: usize = 2000;

impl Span {
    /// `n` spends from the lowest to the highest at equal ratios.
    pub fn budgets(&self, n: usize) -> Vec<f64> {
        let ratio = (self.high / self.low).ln();
        (0..n).map(|i| self.low * (ratio * i as f64 / (n - 1).max(1) as f64).exp()).collect()
    }
}

/// Points by rising spend; between two of them one can draw lots.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve(Vec<Point>);

impl Curve {
    /// Sorts the points. Of points at one spend the best stays.
    pub fn new(mut points: Vec<Point>) -> Self {
        points.sort_by(|a, b| a.cost_usd.total_cmp(&b.cost_usd).then(b.quality.total_cmp(&a.quality)));
        points.dedup_by(|b, a| a.cost_usd == b.cost_usd);
        Self(points)
    }

    /// The upper hull of the points, up to the best one.
    pub fn hull(points: Vec<Point>) -> Self {
        let mut hull: Vec<Point> = Vec::new();
        for point in Self::new(points).0 {
            if hull.last().is_some_and(|last| point.quality <= last.quality) {
                continue;
            }
            while hull.len() >= 2 && !turns_right(hull[hull.len() - 2], hull[hull.len() - 1], point) {
                hull.pop();
            }
            hull.push(point);
        }
        Self(hull)
    }

    /// The points by rising spend.
    pub fn points(&self) -> &[Point] {
        &self.0
    }

    /// Quality at a mean spend of `cost_usd`: between two points by drawing lots, beyond the last as the last, before the first
    /// as the first. 0 when there is no point.
    pub fn at(&self, cost_usd: f64) -> f64 {
        let after = self.0.partition_point(|p| p.cost_usd <= cost_usd);
        match (after.checked_sub(1).and_then(|i| self.0.get(i)), self.0.get(after)) {
            (Some(a), Some(b)) => {
                let share = (cost_usd - a.cost_usd) / (b.cost_usd - a.cost_usd);
                a.quality + share * (b.quality - a.quality)
            }
            (Some(end), None) | (None, Some(end)) => end.quality,
            (None, None) => 0.0,
        }
    }

    /// Mean quality over spends at equal distances.
    pub fn linear_area(&self, span: &Span) -> f64 {
        let step = (span.high - span.low) / SAMPLES as f64;
        self.mean_over(|i| span.low + step * i)
    }

    /// Mean quality over spends at equal ratios: here the cheap end counts as much as the dear one.
    pub fn log_area(&self, span: &Span) -> f64 {
        let step = (span.high / span.low).ln() / SAMPLES as f64;
        self.mean_over(|i| span.low * (step * i).exp())
    }

    fn mean_over(&self, cost_of: impl Fn(f64) -> f64) -> f64 {
        (0..SAMPLES).map(|i| self.at(cost_of(i as f64 + 0.5))).sum::<f64>() / SAMPLES as f64
    }
}

/// Whether the way from `a` over `b` to `c` bends down at `b`.
fn turns_right(a: Point, b: Point, c: Point) -> bool {
    (b.quality - a.quality) * (c.cost_usd - b.cost_usd) > (c.quality - b.quality) * (b.cost_usd - a.cost_usd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(cost_usd: f64, quality: f64) -> Point {
        Point { cost_usd, quality }
    }

    #[test]
    fn the_hull_leaves_out_what_a_mix_beats() {
        let hull = Curve::hull(vec![point(3.0, 0.7), point(1.0, 0.4), point(2.0, 0.5), point(4.0, 0.6)]);
        assert_eq!(hull.points(), &[point(1.0, 0.4), point(3.0, 0.7)]);
        assert!((hull.at(2.0) - 0.55).abs() < 1e-12);
        assert_eq!((hull.at(0.5), hull.at(9.0)), (0.4, 0.7));
    }

    #[test]
    fn areas_of_a_straight_line() {
        let line = Curve::new(vec![point(1.0, 0.0), point(100.0, 1.0)]);
        let span = Span { low: 1.0, high: 100.0 };
        assert!((line.linear_area(&span) - 0.5).abs() < 1e-6);
        // The mean of (c - 1) / 99 over ln c from 0 to ln 100.
        assert!((line.log_area(&span) - (99.0 / 100f64.ln() - 1.0) / 99.0).abs() < 1e-6);
        assert!((span.budgets(3)[1] - 10.0).abs() < 1e-9);
    }
}
