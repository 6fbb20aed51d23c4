//! Routers by others, run from their own libraries over the same vectors and streams.
//!
//! A world is written as `world.json` and raw little-endian arrays; a script outside the crate (`benches/peers`) runs the peers over
//! them and gives back curves. So nothing of theirs is rewritten here, and nothing of ours is known to them.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::curve::{Curve, Point};
use super::report::Report;
use super::stream::shuffled;
use super::world::{Case, World};

/// What `world.json` says; the arrays lie beside it.
#[derive(Serialize)]
struct About<'a> {
    name: &'a str,
    priced: bool,
    arms: Vec<AboutArm<'a>>,
    /// Rows of all arrays but `orders.u32`: those learned from, then those scored.
    rows: usize,
    /// Rows learned from: also the width of `orders.u32`, which has a line for each seed.
    learned: usize,
    /// Width of `vectors.f32`.
    width: usize,
    /// Width of `contexts.f32`.
    dim: usize,
    /// USD that a perfect answer over a useless one is worth, rising.
    grid: &'a [f64],
}

#[derive(Serialize)]
struct AboutArm<'a> {
    id: &'a str,
    /// USD per million tokens.
    input_usd: f64,
    output_usd: f64,
}

/// Writes the world into `folder`, with the streams of the first `seeds` seeds and the preferences of `grid`.
///
/// # Errors
/// When a file cannot be written.
pub fn export(world: &World, grid: &[f64], seeds: u64, folder: &Path) -> io::Result<()> {
    let cases: Vec<&Case> = world.training.iter().chain(&world.scored).collect();
    let arm = |arm: &'_ crate::domain::Arm| (arm.price.input, arm.price.output);
    let about = About {
        name: &world.name,
        priced: world.priced,
        arms: world
            .arms
            .iter()
            .map(|a| AboutArm { id: a.id.as_str(), input_usd: arm(a).0, output_usd: arm(a).1 })
            .collect(),
        rows: cases.len(),
        learned: world.training.len(),
        width: cases.first().map_or(0, |case| case.vector.len()),
        dim: cases.first().map_or(0, |case| case.context.features().len()),
        grid,
    };
    std::fs::write(folder.join("world.json"), serde_json::to_vec(&about)?)?;
    let outcomes = || cases.iter().flat_map(|case| &case.outcomes);
    put(&folder.join("vectors.f32"), cases.iter().flat_map(|c| c.vector.iter()).map(|x| x.to_le_bytes()))?;
    put(
        &folder.join("contexts.f32"),
        cases.iter().flat_map(|c| c.context.features()).map(|x| x.to_le_bytes()),
    )?;
    put(&folder.join("quality.f64"), outcomes().map(|o| o.quality.to_le_bytes()))?;
    put(&folder.join("cost.f64"), outcomes().map(|o| o.cost_usd.to_le_bytes()))?;
    let orders = (0..seeds).flat_map(|seed| shuffled(world.training.len(), &mut StdRng::seed_from_u64(seed)));
    put(&folder.join("orders.u32"), orders.map(|row| (row as u32).to_le_bytes()))
}

fn put<const N: usize>(path: &Path, numbers: impl Iterator<Item = [u8; N]>) -> io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for number in numbers {
        file.write_all(&number)?;
    }
    file.flush()
}

/// What the script gives back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Peers {
    /// Libraries and their versions.
    pub versions: BTreeMap<String, String>,
    /// The peers in the order of the table.
    pub rows: Vec<PeerCurves>,
}

/// One peer's points of mean cost in USD and mean quality over the scored rows, one curve a seed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PeerCurves {
    /// Which, and what it was told.
    pub name: String,
    /// Shape `[seeds][points][2]`.
    pub curves: Vec<Vec<(f64, f64)>>,
}

impl Peers {
    /// Adds the peers' rows to a report on the same world.
    pub fn join(&self, report: &mut Report) {
        for peer in &self.rows {
            let point = |&(cost_usd, quality): &(f64, f64)| Point { cost_usd, quality };
            let curve = |points: &Vec<(f64, f64)>| Curve::new(points.iter().map(point).collect());
            report.add(&peer.name, &peer.curves.iter().map(curve).collect::<Vec<Curve>>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{options, world};
    use super::super::{BenchOptions, run};
    use super::*;

    #[test]
    fn the_export_holds_what_the_bench_itself_works_on() {
        let world = world(true, 40);
        let folder = tempfile::tempdir().unwrap();
        export(&world, &world.grid(5), 2, folder.path()).unwrap();
        let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let about: serde_json::Value = serde_json::from_slice(&bytes("world.json")).unwrap();
        assert_eq!((&about["rows"], &about["learned"], &about["dim"]), (&40.into(), &30.into(), &3.into()));
        assert_eq!(about["arms"][1]["id"], "dear");
        assert_eq!(bytes("vectors.f32").len(), 40 * 2 * 4);
        let cost = f64::from_le_bytes(bytes("cost.f64")[8..16].try_into().unwrap());
        assert_eq!(cost, world.training[0].outcomes[1].cost_usd);
        let last = f64::from_le_bytes(bytes("quality.f64")[(40 * 3 - 1) * 8..].try_into().unwrap());
        assert_eq!(last, world.scored[9].outcomes[2].quality);
        let mut order: Vec<u8> = bytes("orders.u32")[..120].iter().step_by(4).copied().collect();
        assert_ne!(order, (0..30).collect::<Vec<u8>>());
        order.sort_unstable();
        assert_eq!(order, (0..30).collect::<Vec<u8>>());
    }

    #[test]
    fn a_peer_stands_in_the_table_above_the_oracle_and_is_measured_like_all_others() {
        let world = world(true, 400);
        let mut report = run(&world, &BenchOptions { seeds: 1, ..options(1) }, &mut |_, _| {}).unwrap();
        let (_, point) = report.arms[1].clone();
        let json = format!(
            r#"{{"name": "x", "versions": {{"lib": "1"}}, "rows": [{{"name": "peer", "curves": [[[{}, {}]]]}}]}}"#,
            point.cost_usd, point.quality
        );
        let peers: Peers = serde_json::from_str(&json).unwrap();
        peers.join(&mut report);
        let at = |name: &str| report.rows.iter().position(|r| r.name.starts_with(name)).unwrap();
        let (peer, single) = (&report.rows[at("peer")], &report.rows[at("best single: dear")]);
        assert!(at("peer") + 1 == at("oracle") && peers.versions["lib"] == "1");
        assert_eq!(
            (peer.linear_area, &peer.at_budgets, peer.regret),
            (single.linear_area, &single.at_budgets, single.regret)
        );
    }
}
