//! What to expect of a model by its price alone: dear models are better, by how much the arms at hand tell.

/// An arm that is known.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// USD per million tokens, above 0.
    pub usd: f64,
    /// Its mean quality.
    pub level: f64,
    /// How many reports that is from.
    pub evidence: f64,
}

/// Before any peer: a model at one dollar per million tokens, and what each e-fold of the price adds.
const LEVEL: f64 = 0.7;
const LEVEL_SD: f64 = 0.2;
const SLOPE: f64 = 0.04;
const SLOPE_SD: f64 = 0.04;
/// How far single models are from what their price says.
const OWN_SD: f64 = 0.08;
/// Spread of single reports.
const REPORT_SD: f64 = 0.3;

/// Expected quality of a model at `usd` per million tokens: Bayesian regression of the peers' levels on the logarithm of the price.
pub fn level_at(usd: f64, peers: &[Peer]) -> f64 {
    let (mut a, mut b, mut d) = (LEVEL_SD.powi(-2), 0.0, SLOPE_SD.powi(-2));
    let (mut u, mut v) = (LEVEL * a, SLOPE * d);
    for peer in peers.iter().filter(|p| p.evidence > 0.0 && p.usd > 0.0) {
        let (x, precision) = (peer.usd.ln(), 1.0 / (OWN_SD.powi(2) + REPORT_SD.powi(2) / peer.evidence));
        a += precision;
        b += precision * x;
        d += precision * x * x;
        u += precision * peer.level;
        v += precision * peer.level * x;
    }
    // The determinant is positive: the prior's own part is, and each peer adds a positive semidefinite one.
    let determinant = a * d - b * b;
    let (level, slope) = ((d * u - b * v) / determinant, (a * v - b * u) / determinant);
    (level + slope * usd.ln()).clamp(0.05, 0.98)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(usd: f64, level: f64) -> Peer {
        Peer { usd, level, evidence: 500.0 }
    }

    #[test]
    fn without_peers_a_dearer_model_is_expected_to_be_a_little_better() {
        assert!((level_at(1.0, &[]) - LEVEL).abs() < 1e-12);
        assert!(level_at(10.0, &[]) > level_at(0.1, &[]) + 0.1);
        assert!((0.05..=0.98).contains(&level_at(1e-9, &[])) && (0.05..=0.98).contains(&level_at(1e9, &[])));
    }

    #[test]
    fn peers_move_the_expectation_to_where_they_are() {
        let good = [peer(0.1, 0.85), peer(1.0, 0.9), peer(10.0, 0.95)];
        assert!((level_at(3.0, &good) - 0.92).abs() < 0.03, "{}", level_at(3.0, &good));
        let flat = [peer(0.1, 0.6), peer(0.5, 0.6), peer(5.0, 0.6), peer(20.0, 0.6)];
        assert!((level_at(2.0, &flat) - 0.6).abs() < 0.03);
        let unheard = [Peer { evidence: 0.0, ..peer(1.0, 0.1) }];
        assert_eq!(level_at(1.0, &unheard), level_at(1.0, &[]));
    }
}
