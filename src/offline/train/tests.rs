use super::*;
use crate::offline::bundle::{Account, Bundle, Origin};
use crate::offline::synthetic::MadeUp;
use crate::store::StoreOptions;

const DIM: usize = 9;

fn made_up(rows: u64, reported: f64) -> MadeUp {
    MadeUp { rows, reported, seed: 5, schema: FeatureSchema::new("made-up"), dim: DIM }
}

fn written(log: &MadeUp) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
    log.write(&store, &mut |_, _| ()).unwrap();
    (folder, store)
}

fn options() -> TrainOptions {
    TrainOptions { grid: TrainOptions::grid().into_iter().take(4).collect(), seed: 1, margin: 0.02 }
}

#[test]
fn a_log_trains_a_policy_that_beats_it_and_whose_state_is_the_fold_of_the_log() {
    let log = made_up(10_000, 0.9);
    let (folder, store) = written(&log);
    let trained = train(&store, (&log.schema, DIM), &options(), &mut |_, _| ()).unwrap();
    assert_eq!(trained.refused, None);
    assert!(trained.gate.utility.difference.mean > 0.02, "{:?}", trained.gate.utility.difference);
    let mut plain = LearnedState::with_settings(log.schema.clone(), DIM, trained.settings).unwrap();
    crate::learning::fold(&store, &mut plain, trained.cut).unwrap();
    assert!(plain.to_bytes() == trained.state.to_bytes(), "the same fold as online");

    // The estimate of the gate is right: the made-up world's truth is known.
    let scenario = Scenario::as_logged(&trained.gate_traces, &log.schema, &trained.gate_policy).unwrap();
    let wanted = scenario.ask_all(&trained.gate_traces).unwrap();
    let order: Vec<usize> = (0..MadeUp::arms()).collect();
    let truth = Value::of(wanted.iter().map(|w| {
        let x = trained.gate_traces.features(w.row);
        w.shares.iter().map(|(arm, p)| p * MadeUp::quality(order[*arm], x)).sum::<f64>()
    }));
    let robust = trained.gate.quality.robust;
    assert!((robust.mean - truth.mean).abs() < 4.0 * robust.standard_error, "{robust:?} {truth:?}");

    let origin = Origin::Traces {
        cut: trained.cut,
        cut_sha256: store.fingerprint(trained.cut).unwrap().unwrap(),
        from: Default::default(),
        to: Default::default(),
    };
    let metrics = serde_json::to_value(&trained.gate).unwrap();
    let account = Account { date: "2026-11-27".into(), seed: 1, origin, metrics };
    let bundle = Bundle::new(&trained.state, trained.settings, account).unwrap();
    let pictures = pictures(&trained, &log.schema).unwrap();
    assert_eq!(pictures.len(), 3);
    let path = bundle.save(&folder.path().join("policy"), &pictures).unwrap();
    assert_eq!(
        bundle.save(&folder.path().join("policy"), &[]).unwrap(),
        path,
        "the same again is left alone"
    );
    let again = Bundle::load(&path).unwrap();
    assert_eq!((&again.manifest, &again.bytes), (&bundle.manifest, &bundle.bytes));
    let state = std::fs::read(path.join("state.bin")).unwrap();
    std::fs::write(path.join("state.bin"), &state[..state.len() - 1]).unwrap();
    assert!(Bundle::load(&path).unwrap_err().to_string().contains("cut short or altered"));
    let left: Vec<_> = std::fs::read_dir(folder.path().join("policy")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing half written is left");
}

#[test]
fn g4_what_must_not_serve_is_refused_with_the_reason() {
    let empty = made_up(300, 0.0);
    let (_folder, store) = written(&empty);
    let nothing = train(&store, (&empty.schema, DIM), &options(), &mut |_, _| ());
    assert!(matches!(nothing, Err(LogError::NoReport)), "{nothing:?}");

    let short = made_up(600, 0.5);
    let (_folder, store) = written(&short);
    let trained = train(&store, (&short.schema, DIM), &options(), &mut |_, _| ()).unwrap();
    let why = trained.refused.unwrap();
    assert!(why.starts_with("no verdict"), "{why}");

    let mut worse = trained.gate;
    worse.no_verdict = None;
    worse.utility.difference = Value { mean: -0.1, standard_error: 0.01 };
    worse.utility.difference_interval = None;
    assert!(refusal(&trained.state, &worse, 0.02).unwrap().contains("may be worse"));
    worse.utility.difference.mean = f64::NAN;
    assert!(refusal(&trained.state, &worse, 0.02).unwrap().contains("not finite"));
    worse.utility.difference.mean = 0.1;
    assert_eq!(refusal(&trained.state, &worse, 0.02), None);
}

#[test]
fn the_grid_starts_with_what_serves_today_and_keeps_like_heads_together() {
    let grid = TrainOptions::grid();
    assert_eq!((grid[0], grid.len()), (Settings::DEFAULT, 16));
    let mut heads = grid.clone();
    heads.dedup_by(|b, a| fits_alike(a, b));
    assert_eq!(heads.len(), 8);
}
