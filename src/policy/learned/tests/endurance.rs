//! It lasts: whatever the contexts and reports, numbers stay finite; and an alarm does what it should.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::domain::KeyId;
use crate::policy::drift::{Direction, Signal};

/// A context that somebody made to do harm, or a usual one.
fn any_context(rng: &mut StdRng) -> Context {
    let usual = |rng: &mut StdRng| rng.random_range(-2.0..2.0f32);
    match rng.random_range(0..6) {
        0 => context(&[1.0, 1.0, 1.0, 1.0, 1.0]),
        1 => context(&[1e-30, -1e-30, 1e-38, 0.0, 1e-30]),
        2 => context(&[999.0, -999.0, 999.0, 999.0, -999.0]),
        3 => context(&[999.0, 1e-30, 0.0, usual(rng), 0.0]),
        _ => context(&[usual(rng), usual(rng), usual(rng), usual(rng), usual(rng)]),
    }
}

#[test]
fn f6_two_hundred_thousand_hostile_updates_leave_every_number_finite() {
    let mut rng = StdRng::seed_from_u64(6);
    let mut state = LearnedState::new(schema(), 6).unwrap();
    let (id, mut refused) = (ArmId::from("a"), 0);
    let mut last: Option<(Context, f64, f64)> = None;
    for tick in 1..=200_000u64 {
        let (x, value) = (any_context(&mut rng), f64::from(u8::from(rng.random_bool(0.5))));
        let weight = [1e-9, 0.3, 1.0, 25.0][rng.random_range(0..4)];
        let told = Observation::Quality {
            arm: &id,
            context: &x,
            value,
            weight,
            tick,
            replaces: None,
            from: Provenance::default(),
        };
        state.apply(&told).unwrap();
        if let Some((x, value, weight)) = last.take().filter(|_| tick % 7 == 0) {
            let replaces = Some(Replaced { value, weight });
            let revised = Observation::Quality {
                arm: &id,
                context: &x,
                value: 0.5,
                weight,
                tick: tick - 1,
                replaces,
                from: Provenance::default(),
            };
            state.apply(&revised).unwrap();
        }
        if tick % 50 == 0 {
            let huge = context(&[1e30, 0.0, 0.0, 0.0, 0.0]);
            refused += usize::from(state.apply(&report(&id, &huge, 0.5, tick)).is_err());
            state.apply(&answer(&id, &x, u32::MAX, tick as i64)).unwrap();
        }
        last = Some((x, value, weight));
    }
    assert_eq!(refused, 4000);
    let ridge = state.arm(&id).unwrap().quality().ridge();
    assert!(ridge.theta().iter().all(|t| t.is_finite()) && ridge.sigma().is_finite());
    assert!(ridge.condition().is_finite() && ridge.condition() < 1e12, "{}", ridge.condition());
    let policy = state.snapshot(PolicyVersion::from("learned@1"));
    for _ in 0..100 {
        let question = Question::new(vec![arm("a", 1.0, 4.0)], Some(any_context(&mut rng)));
        let seen = question.ask(|ask| policy.propose(ask)).unwrap();
        let e = &seen.estimates[0];
        assert!(
            [e.quality.mean, e.quality.sd, e.cost_usd, e.latency_ms.p95, e.utility]
                .iter()
                .all(|n| n.is_finite())
        );
    }
    assert_eq!(LearnedState::from_bytes(&state.to_bytes()).unwrap(), state);
}

#[test]
fn what_is_refused_does_not_move_the_clock_either() {
    let mut state = fresh();
    state.apply(&answer(&ArmId::from("a"), &context(&[0.1, 0.2]), 50, 1000)).unwrap();
    let before = state.clone();
    let (id, foreign) =
        (ArmId::from("a"), Context::new(FeatureSchema::new("another"), vec![1.0; 3]).unwrap());
    let endless = Observation::Answered {
        arm: &id,
        context: None,
        input_tokens: 1,
        output_tokens: None,
        bill: None,
        kind: None,
        first_token_ms: Some(1e300),
        total_ms: None,
        at: UnixMs(i64::MAX),
    };
    for refused in [endless, Observation::Asked { context: &foreign, at: UnixMs(i64::MAX) }] {
        assert!(state.apply(&refused).is_err());
        assert!(state == before);
    }
}

#[test]
fn x4_a_clock_that_jumps_leaves_the_estimates_sound() {
    let (hour, year) = (3_600_000, 365 * 86_400_000);
    let mut state = fresh();
    let (id, x, mut now) = (ArmId::from("a"), context(&[0.1, -0.2]), 1_764_000_000_000);
    for turn in 0..400 {
        now += match turn % 40 {
            7 => year,
            8 => -year,
            20 => -hour,
            _ => 1000,
        };
        state.apply(&answer(&id, &x, 200, now)).unwrap();
    }
    for extreme in [i64::MAX, i64::MIN, 0, now] {
        state.apply(&answer(&id, &x, 200, extreme)).unwrap();
    }
    let policy = state.snapshot(PolicyVersion::from("learned@1"));
    let question = Question::new(vec![arm("a", 1.0, 4.0)], Some(x));
    let seen = question.ask(|ask| policy.propose(ask)).unwrap();
    let latency = seen.estimates[0].latency_ms.p95;
    assert!((500.0..20_000.0).contains(&latency), "each of them took 2.3 s: {latency}");
    assert_eq!(LearnedState::from_bytes(&state.to_bytes()).unwrap(), state);
}

#[test]
fn f6_a_context_of_absurd_size_is_refused_with_its_position() {
    let mut state = fresh();
    let huge = context(&[0.0, 1e30]);
    let error = state.apply(&report(&ArmId::from("a"), &huge, 0.5, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "feature 1 of schema test-v1 lies beyond 1000 either way: features must be standardised"
    );
    let policy = state.snapshot(PolicyVersion::from("learned@1"));
    let question = Question::new(vec![arm("a", 1.0, 4.0)], Some(huge));
    assert!(matches!(question.ask(|ask| policy.propose(ask)), Err(PolicyError::Context(_))));
}

#[test]
fn an_alarm_is_kept_and_earlier_reports_count_for_little_from_then_on() {
    let mut rng = StdRng::seed_from_u64(7);
    let (mut state, id) = (fresh(), ArmId::from("a"));
    let mut tick = 0;
    let mut live = |state: &mut LearnedState, level: f64, reports: u64| {
        for _ in 0..reports {
            tick += 1;
            let x = context(&[rng.random_range(-1.0..1.0f32), rng.random_range(-1.0..1.0f32)]);
            state.apply(&answer(&id, &x, 100, tick as i64 * 1000)).unwrap();
            let value = (level + rng.random_range(-0.26..0.26f64)).clamp(0.0, 1.0);
            state.apply(&report(&id, &x, value, tick)).unwrap();
        }
        state.snapshot(PolicyVersion::from("learned@1")).checkup().unwrap()
    };
    let quiet = live(&mut state, 0.7, 1000);
    assert!(quiet.alarms.is_empty() && quiet.arms[0].evidence > 900.0, "{quiet:?}");
    let fallen = live(&mut state, 0.5, 60);
    assert_eq!((fallen.raised, fallen.alarms.len()), (1, 1), "{fallen:?}");
    let alarm = &fallen.alarms[0];
    assert_eq!(
        (alarm.signal, alarm.change.direction, alarm.arm.as_ref()),
        (Signal::Quality, Direction::Down, Some(&id))
    );
    assert!((alarm.change.before - 0.7).abs() < 0.05 && alarm.change.after < 0.65);
    assert!(alarm.at.0 > 1_000_000 && fallen.arms[0].evidence < 110.0, "{fallen:?}");
    assert_eq!(fallen.arms[0].watches[0].last_alarm.as_ref(), Some(alarm));
    assert_eq!(LearnedState::from_bytes(&state.to_bytes()).unwrap(), state);
}

#[test]
fn a_revision_of_a_report_from_before_an_alarm_takes_back_what_is_left_of_it() {
    let (id, other, x) = (ArmId::from("a"), ArmId::from("b"), context(&[0.5, -0.5]));
    let run = |first: f64| {
        let mut state = fresh();
        // Two voices, so that an alarm moves nothing: by how much it would is found with what was said by then.
        for (tick, key) in [(1, KeyId::from("k1")), (2, KeyId::from("k2"))] {
            let from = Provenance { key: Some(&key), ..Provenance::default() };
            let (arm, context, value, weight) = (&other, &x, 0.5, 1.0);
            let said = Observation::Quality { arm, context, value, weight, tick, replaces: None, from };
            state.apply(&said).unwrap();
        }
        for tick in 1..=400u64 {
            let even = if tick % 2 == 0 { 0.05 } else { -0.05 };
            let value = if tick == 200 { first } else { even + if tick > 300 { 0.2 } else { 0.8 } };
            state.apply(&report(&id, &x, value, tick)).unwrap();
        }
        state
    };
    let (mut revised, plain) = (run(0.8), run(0.7));
    let replaces = Some(Replaced { value: 0.8, weight: 1.0 });
    let told = Observation::Quality {
        arm: &id,
        context: &x,
        value: 0.7,
        weight: 1.0,
        tick: 200,
        replaces,
        from: Provenance::default(),
    };
    revised.apply(&told).unwrap();
    let view = |s: &LearnedState| s.snapshot(PolicyVersion::from("learned@1")).checkup().unwrap();
    assert_eq!((view(&revised).raised, view(&plain).raised), (1, 1));
    let theta = |s: &LearnedState| s.arm(&id).unwrap().quality().ridge().theta().to_vec();
    for (a, b) in theta(&revised).iter().zip(theta(&plain)) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
fn eleven_weights_over_one_state_move_cost_and_quality_one_way() {
    let arms = vec![arm("code", 0.1, 0.4), arm("dear", 10.0, 40.0), arm("prose", 0.1, 0.4)];
    let mut question = Question::new(arms, None);
    question.preference = Preference::value(0.5, 0.0).unwrap();
    let policy = live(&mut question, 3000, 3).snapshot(PolicyVersion::from("learned@1"));
    question.exploration = Exploration::NONE;
    let mut rng = StdRng::seed_from_u64(1);
    let prompts: Vec<Context> = (0..200)
        .map(|_| context(&[rng.random_range(-1.0..1.0f32), rng.random_range(-1.0..1.0f32)]))
        .collect();
    let mut points = Vec::new();
    for step in 0..=10 {
        let quality_usd = 1e-4 * 10f64.powf(0.4 * f64::from(step));
        question.preference = Preference::value(quality_usd, 0.0).unwrap();
        let (mut quality, mut cost) = (0.0, 0.0);
        for x in &prompts {
            question.context = Some(x.clone());
            let chosen = question.ask(|ask| policy.propose(ask)).unwrap().estimates.remove(0);
            quality += (1.0 - chosen.failure) * chosen.quality.mean;
            cost += chosen.cost_usd;
        }
        points.push((quality, cost));
    }
    for pair in points.windows(2) {
        assert!(pair[1].0 >= pair[0].0 - 1e-9 && pair[1].1 >= pair[0].1 - 1e-12, "{points:?}");
    }
    assert!(points[10].1 > 5.0 * points[0].1, "{points:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A state whose digest fits need not be one: whoever patched it could sign it anew.
    #[test]
    fn a_patched_state_is_refused_or_taken_again(patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut state = fresh();
        some_log(&mut state, 20);
        let bytes = state.to_bytes();
        let (magic, rest) = bytes.split_at(8);
        let mut body = rest[..rest.len() - 32].to_vec();
        for (at, byte) in patches {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let patched = [magic, &body, Sha256::digest(&body).as_slice()].concat();
        if let Ok(taken) = LearnedState::from_bytes(&patched) {
            taken.snapshot(PolicyVersion::from("learned@1"));
            prop_assert!(LearnedState::from_bytes(&taken.to_bytes()).is_ok());
        }
    }
}
