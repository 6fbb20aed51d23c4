//! Arms that join, go and come back.

use super::*;
use crate::domain::{ArmPrior, RatedSums};
use crate::math::cholesky::{packed_len, rank_one};
use crate::policy::Standing;

/// A world in which an arm is as good on every prompt.
struct World {
    state: LearnedState,
    truth: Vec<(&'static str, f64)>,
    ticks: BTreeMap<ArmId, u64>,
    rng: StdRng,
    now: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let state = LearnedState::with_settings(schema(), 3, few_strong_features()).unwrap();
        Self { state, truth: Vec::new(), ticks: BTreeMap::new(), rng: StdRng::seed_from_u64(seed), now: 0 }
    }

    fn join(&mut self, arm: &'static str, quality: f64, prior: &ArmPrior) {
        self.truth.push((arm, quality));
        self.truth.sort_by_key(|(arm, _)| *arm);
        self.state.apply(&Observation::Added { arm: &ArmId::from(arm), prior }).unwrap();
    }

    /// One request, reported on; the probability with which `watched` could have been drawn.
    fn step(&mut self, watched: &str) -> f64 {
        self.now += 1000;
        let x = context(&[self.rng.random_range(-1.0..1.0f32), self.rng.random_range(-1.0..1.0f32)]);
        let arms = self.truth.iter().map(|(name, _)| arm(name, 1.0, 4.0)).collect();
        let question = Question { at: UnixMs(self.now), ..Question::new(arms, Some(x.clone())) };
        let policy = self.state.snapshot(PolicyVersion::from("p"));
        let distribution = question.ask(|ask| policy.propose(ask).unwrap().distribution);
        let drawn = draw(&distribution, self.rng.random()).arm;
        let quality = self.truth.iter().find(|(name, _)| *name == drawn.as_str()).unwrap().1;
        let value = f64::from(self.rng.random_bool(quality));
        let tick = self.ticks.entry(drawn.clone()).or_insert(0);
        *tick += 1;
        self.state.apply(&answer(&drawn, &x, 200, self.now)).unwrap();
        self.state.apply(&report(&drawn, &x, value, *tick)).unwrap();
        distribution.of(&ArmId::from(watched))
    }

    fn run(&mut self, watched: &str, requests: usize) -> f64 {
        (0..requests).map(|_| self.step(watched)).sum::<f64>() / requests as f64
    }

    fn reports(&self, arm: &str) -> u64 {
        self.ticks.get(&ArmId::from(arm)).copied().unwrap_or(0)
    }

    fn standing(&self, arm: &str) -> Option<Standing> {
        self.state.snapshot(PolicyVersion::from("p")).standing(&ArmId::from(arm))
    }
}

fn settled(seed: u64) -> World {
    let mut world = World::new(seed);
    world.truth = vec![("low", 0.5), ("mid", 0.65)];
    world.run("mid", 2000);
    world
}

#[test]
fn a_good_new_arm_has_most_of_its_share_within_60_of_its_reports() {
    for seed in [1, 2, 3] {
        let mut world = settled(seed);
        world.join("new", 0.9, &ArmPrior::Unknown);
        assert_eq!(world.standing("new"), Some(Standing::Nursery));
        let mut requests = 0;
        while world.reports("new") < 8 {
            assert!(world.step("new") <= 0.02 + 1e-12, "no more than its share before the first look");
            requests += 1;
            assert!(requests < 2000, "{} reports after {requests} requests", world.reports("new"));
        }
        while world.reports("new") < 50 {
            assert_eq!(world.standing("new"), Some(Standing::Nursery));
            world.step("new");
            requests += 1;
            assert!(requests < 3000, "{} reports after {requests} requests", world.reports("new"));
        }
        assert_eq!(world.standing("new"), Some(Standing::Steady));
        while world.reports("new") < 60 {
            world.step("new");
        }
        let early = world.run("new", 100);
        world.run("new", 3000);
        let steady = world.run("new", 500);
        assert!(early >= 0.8 * steady && steady > 0.8, "seed {seed}: {early} of {steady}");
    }
}

#[test]
fn a_bad_new_arm_never_costs_more_than_a_fiftieth_of_the_traffic() {
    for seed in [1, 2, 3] {
        let mut world = settled(seed);
        world.join("new", 0.3, &ArmPrior::Unknown);
        let share = world.run("new", 6000);
        assert!(share <= 0.02, "seed {seed}: {share}");
        assert!(world.reports("new") >= 8, "it was given its chance");
    }
}

fn expects(state: &LearnedState, name: &str) -> crate::domain::Estimate {
    let question = Question::new(vec![arm(name, 1.0, 4.0)], Some(context(&[0.0, 0.0])));
    let policy = state.snapshot(PolicyVersion::from("p"));
    question.ask(|ask| policy.estimates(ask).unwrap()[0].quality)
}

#[test]
fn a_sheet_a_sibling_and_a_price_say_what_to_expect() {
    let mut world = settled(4);
    let (rows, level) = (150, 0.35);
    let mut sheet =
        RatedSums { schema: schema(), xx: vec![0.0; packed_len(3)], xy: vec![0.0; 3], yy: 0.0, rows: 0.0 };
    for i in 0..rows {
        let (x, y) = ([0.0, f64::from(i % 3) - 1.0, 1.0], level);
        rank_one(&mut sheet.xx, &x, 1.0);
        sheet.xy.iter_mut().zip(x).for_each(|(s, x)| *s += y * x);
        sheet.yy += y * y;
        sheet.rows += 1.0;
    }
    let peers = [("low", 0.1), ("mid", 3.0)].map(|(arm, usd)| (ArmId::from(arm), usd)).into();
    world.join("alike", 0.5, &ArmPrior::Like { arm: ArmId::from("mid") });
    world.join("priced", 0.5, &ArmPrior::Price { usd: 3.0, peers });
    world.join("sheeted", 0.5, &ArmPrior::Sheet(Box::new(sheet.clone())));
    world.join("unheard", 0.5, &ArmPrior::Unknown);
    let [mid, alike, priced, sheeted, unheard] =
        ["mid", "alike", "priced", "sheeted", "unheard"].map(|name| expects(&world.state, name));
    assert!((alike.mean - mid.mean).abs() < 0.03 && alike.sd > 1.5 * mid.sd, "{alike:?} {mid:?}");
    assert!((sheeted.mean - level).abs() < 0.05 && sheeted.sd < unheard.sd, "{sheeted:?}");
    assert!((priced.mean - mid.mean).abs() < 0.06 && priced.sd < unheard.sd, "{priced:?}");
    assert!((unheard.mean - 0.7).abs() < 0.05, "{unheard:?}");
    assert_eq!(
        world.standing("sheeted"),
        Some(Standing::Steady),
        "a long sheet stands for its first reports"
    );
    assert_eq!(world.standing("alike"), Some(Standing::Nursery));

    let known = expects(&world.state, "mid");
    world
        .state
        .apply(&Observation::Added { arm: &"mid".into(), prior: &ArmPrior::Sheet(Box::new(sheet.clone())) })
        .unwrap();
    assert_eq!(expects(&world.state, "mid"), known, "what has been observed needs no prior");
    let foreign =
        ArmPrior::Sheet(Box::new(RatedSums { schema: FeatureSchema::new("other"), ..sheet.clone() }));
    let short = ArmPrior::Sheet(Box::new(RatedSums { xy: vec![0.0], ..sheet }));
    let before = world.state.clone();
    for bad in [foreign, short] {
        assert!(world.state.apply(&Observation::Added { arm: &"other".into(), prior: &bad }).is_err());
        assert_eq!(world.state, before);
    }
}

#[test]
fn an_arm_that_comes_back_is_remembered_at_half_the_weight() {
    let mut world = settled(5);
    let evidence = |world: &World| world.state.arm(&"mid".into()).unwrap().quality().ridge().evidence();
    let (before, weight) = (expects(&world.state, "mid"), evidence(&world));
    world.state.apply(&Observation::Removed { arm: &"mid".into() }).unwrap();
    assert_eq!(world.standing("mid"), Some(Standing::Removed));
    let policy = world.state.snapshot(PolicyVersion::from("p"));
    assert!(policy.present().iter().all(|(arm, _)| arm.as_str() != "mid"));
    assert_eq!(evidence(&world), weight, "frozen, not forgotten");
    world.state.apply(&Observation::Added { arm: &"mid".into(), prior: &ArmPrior::Unknown }).unwrap();
    assert_eq!(world.standing("mid"), Some(Standing::Steady));
    assert!((evidence(&world) - 0.5 * weight).abs() < 1e-9);
    let after = expects(&world.state, "mid");
    assert!((after.mean - before.mean).abs() < 0.02 && after.sd > 1.2 * before.sd, "{before:?} {after:?}");
    let back = LearnedState::from_bytes(&world.state.to_bytes()).unwrap();
    assert_eq!(back, world.state, "the roster is part of the state");
}
