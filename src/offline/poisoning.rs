//! Hostile keys: callers of one service, some of whom rate every answer upside down. What do the others lose?
//!
//! A simulation through the learner, as the service folds reports. Three arms, two kinds of prompt; honest keys rate one answer in
//! ten, hostile ones each of their own.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::routing_bench::{Figure, Table};
use crate::domain::{
    Allowance, Arm, ArmId, CapabilitySet, Constraints, Context, FeatureSchema, KeyId, Limits, PolicyVersion,
    Preference, Price, ProviderId, UnixMs,
};
use crate::policy::explore::draw;
use crate::policy::{
    Ask, Exploration, GuardSettings, LearnedState, Learner, Observation, Policy, Provenance, Settings,
    StateError,
};

/// Mean quality of each arm on either kind of prompt.
const TRUTH: [(&str, [f64; 2]); 3] =
    [("good", [0.85, 0.75]), ("middling", [0.6, 0.6]), ("poor", [0.3, 0.35])];
/// Calls of a run.
const CALLS: usize = 6000;
/// Calls before honest callers' quality counts.
const WARM_UP: usize = 1500;
/// Calls after which the policy is published anew.
const PUBLISHED_AFTER: usize = 10;
/// Share of their answers that honest keys rate.
const RATED: f64 = 0.1;
/// Features, the constant included.
const DIM: usize = 2;
/// First seed of the table; the tests and the settings were made on others.
const FIRST_SEED: u64 = 1001;
/// The share of the clean reward that 5 % hostile keys may cost.
const MOST_LOST: f64 = 0.10;

/// Who calls, and how.
#[derive(Debug, Clone, Copy)]
struct Attack {
    keys: usize,
    hostile: usize,
    /// Calls of a hostile key for each one of an honest key.
    zeal: usize,
    guard: GuardSettings,
    /// Of a hundred reports of a hostile key so many, the first, are true.
    honest: usize,
}

/// Keys, hostile ones, their calls for each one of an honest key, true reports of a hundred.
const ATTACKS: [(usize, usize, usize, usize); 14] = [
    (40, 2, 1, 0),
    (40, 2, 3, 0),
    (40, 2, 3, 70),
    (40, 1, 1, 0),
    (40, 1, 20, 0),
    (40, 1, 20, 70),
    (40, 1, 20, 100),
    (100, 5, 1, 0),
    (100, 5, 3, 0),
    (100, 1, 20, 0),
    (10, 1, 1, 0),
    (10, 1, 3, 0),
    (10, 1, 20, 0),
    (10, 1, 20, 100),
];

/// The table of attacks. `progress` gets (attacks done, attacks).
///
/// # Errors
/// When the settings give no policy.
pub fn attacks(seeds: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<Table, StateError> {
    let mut table = Table {
        title: "hostile keys".to_owned(),
        notes: vec![format!(
            "{CALLS} simulated calls, {seeds} seeds; honest keys rate {RATED} of their answers, hostile ones all of theirs, upside down but for \
             the share that is true. Loss of the honest callers' mean quality against a run without hostile keys, of 1."
        )],
        columns: ["with the defences", "worst seed", "without defences", "worst seed"]
            .map(str::to_owned)
            .to_vec(),
        lines: Vec::new(),
        goals: Vec::new(),
    };
    for (at, (keys, hostile, zeal, honest)) in ATTACKS.into_iter().enumerate() {
        let mut line = Vec::new();
        for guard in [GuardSettings::DEFAULT, GuardSettings::NONE] {
            let attack = Attack { keys, hostile, zeal, guard, honest };
            let losses = losses(&attack, FIRST_SEED..FIRST_SEED + seeds)?;
            line.extend([Figure::rounded(&losses, 4), Figure::rounded(&[worst(&losses)], 3)]);
            if guard == GuardSettings::DEFAULT && hostile * 20 == keys && honest == 0 {
                let goal = format!(
                    "F7, {hostile} of {keys} keys, {zeal} calls for one: a loss of at most {MOST_LOST}"
                );
                table.goal(goal, format!("{:.4}", mean(&losses)), mean(&losses) <= MOST_LOST);
            }
        }
        let name = format!("{hostile} of {keys} keys, {zeal} calls for each honest one, {honest} % true");
        table.line(name, line);
        progress(at as u64 + 1, ATTACKS.len() as u64);
    }
    Ok(table)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn worst(losses: &[f64]) -> f64 {
    losses.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Of each seed: what is lost of the mean reward without hostile keys, as a share of it.
fn losses(attack: &Attack, seeds: Range<u64>) -> Result<Vec<f64>, StateError> {
    let peaceful = Attack { hostile: 0, zeal: 1, ..*attack };
    let rewards = |attack: &Attack| -> Result<Vec<f64>, StateError> {
        seeds.clone().map(|seed| Ok(live(attack, seed)?.1)).collect()
    };
    let clean = mean(&rewards(&peaceful)?);
    Ok(rewards(attack)?.into_iter().map(|reward| 1.0 - reward / clean).collect())
}

/// What was learned in a run, and the mean true quality that honest callers got after the warm-up.
fn live(attack: &Attack, seed: u64) -> Result<(LearnedState, f64), StateError> {
    let mut rng = StdRng::seed_from_u64(seed);
    let schema = FeatureSchema::new("simulated-v1");
    let settings = Settings { guard: attack.guard, ..Settings::DEFAULT };
    let mut state = LearnedState::with_settings(schema.clone(), DIM, settings)?;
    let arms: Vec<Arm> = TRUTH.iter().map(|(name, _)| arm(name)).collect();
    let keys: Vec<KeyId> = (0..attack.keys).map(|k| KeyId::new(format!("k{k}"))).collect();
    let calls_of = |k| if k < attack.hostile { attack.zeal } else { 1 };
    let callers: Vec<usize> = (0..attack.keys).flat_map(|k| std::iter::repeat_n(k, calls_of(k))).collect();
    let mut ticks: BTreeMap<ArmId, u64> = BTreeMap::new();
    let (mut got, mut calls, mut said) = (0.0, 0.0, vec![0usize; attack.keys]);
    let mut policy = state.snapshot(PolicyVersion::from("learned@0"));
    for round in 0..CALLS {
        let key = callers[rng.random_range(0..callers.len())];
        let kind = usize::from(rng.random_bool(0.5));
        let Ok(x) = Context::new(schema.clone(), vec![kind as f32 * 2.0 - 1.0, 1.0]) else { continue };
        let Ok(proposal) = ask(&arms, &x, |ask| policy.propose(ask)) else { continue };
        let drawn = draw(&proposal.distribution, rng.random()).arm;
        let (truth, is_hostile) = (quality(&drawn, kind), key < attack.hostile);
        let luck: f64 = rng.random();
        if !is_hostile && round > WARM_UP {
            got += truth;
            calls += 1.0;
        }
        if !is_hostile && !rng.random_bool(RATED) {
            continue;
        }
        let lies = is_hostile && said[key] % 100 >= attack.honest;
        said[key] += 1;
        let value = if lies { f64::from(drawn.as_str() == "poor") } else { f64::from(luck < truth) };
        let tick = ticks.entry(drawn.clone()).or_insert(0);
        *tick += 1;
        let from = Provenance { key: Some(&keys[key]), ..Provenance::default() };
        let seen = Observation::Quality {
            arm: &drawn,
            context: &x,
            value,
            weight: 1.0,
            tick: *tick,
            replaces: None,
            from,
        };
        if let Err(fault) = state.apply(&seen) {
            tracing::warn!(%fault, "a report was set aside");
        }
        if round % PUBLISHED_AFTER == 0 {
            policy = state.snapshot(PolicyVersion::from("learned@0"));
        }
    }
    Ok((state, got / f64::max(calls, 1.0)))
}

fn quality(arm: &ArmId, kind: usize) -> f64 {
    TRUTH.iter().find(|(name, _)| *name == arm.as_str()).map_or(0.0, |(_, means)| means[kind])
}

fn arm(id: &str) -> Arm {
    Arm {
        id: ArmId::from(id),
        provider: ProviderId::from("simulated"),
        model: id.to_owned(),
        price: Price::flat(1.0, 1.0),
        limits: Limits { context_window: 128_000, max_output: Some(4_000) },
        capabilities: CapabilitySet::default(),
    }
}

/// Quality alone counts.
fn ask<T>(arms: &[Arm], context: &Context, with: impl FnOnce(&Ask<'_>) -> T) -> T {
    let arms: Vec<&Arm> = arms.iter().collect();
    with(&Ask {
        context: Some(context),
        arms: &arms,
        reference: arms[0],
        preference: &Preference::best(),
        constraints: &Constraints::default(),
        input_tokens: 100,
        max_output_tokens: None,
        turn: 0,
        at: UnixMs(0),
        exploration: Exploration::DEFAULT,
        allowance: Allowance::UNBOUNDED,
        cached: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two keys of forty that lie always, with everybody else's traffic.
    const EVEN: Attack = Attack { keys: 40, hostile: 2, zeal: 1, guard: GuardSettings::DEFAULT, honest: 0 };

    fn loss(attack: Attack) -> f64 {
        mean(&losses(&attack, 1..9).unwrap())
    }

    /// F7: one key in twenty rates each of its answers upside down, at the traffic of an honest one and at three times as much.
    #[test]
    fn f7_five_percent_of_hostile_keys_cost_little_and_without_defences_much() {
        for attack in [EVEN, Attack { zeal: 3, ..EVEN }] {
            let (guarded, open) = (loss(attack), loss(Attack { guard: GuardSettings::NONE, ..attack }));
            assert!(guarded < MOST_LOST, "loss with defences {guarded:.4}");
            assert!(open > 0.20, "the attack must hurt where nothing stops it, loss {open:.4}");
        }
    }

    #[test]
    fn f7_a_flood_is_thinned_out_and_a_liar_who_agreed_at_first_gains_nothing() {
        let flood = Attack { hostile: 1, zeal: 20, ..EVEN };
        let (guarded, open) = (loss(flood), loss(Attack { guard: GuardSettings::NONE, ..flood }));
        // A third of the traffic is hostile here, not a twentieth.
        assert!(guarded < 0.15, "loss to a flood {guarded:.4}");
        assert!(open > 0.20, "the flood must hurt where nothing stops it, loss {open:.4}");
        let sleeper = loss(Attack { honest: 70, ..flood });
        assert!(sleeper < 0.15, "loss to a flood that tells the truth seven times in ten {sleeper:.4}");
    }

    /// One key has twenty times the calls of each other, and rates all of them: five reports in six are its own.
    #[test]
    fn a_large_caller_who_agrees_with_the_others_keeps_its_voice() {
        let share = |honest| {
            let state = live(&Attack { hostile: 1, zeal: 20, honest, ..EVEN }, 5).unwrap().0;
            let policy = state.snapshot(PolicyVersion::from("learned@1"));
            let standings = policy.reporters().unwrap().standings();
            standings.iter().find(|s| s.key.as_str() == "k0").unwrap().share
        };
        let (honest, liar) = (share(100), share(0));
        assert!(honest > 0.5, "share of the weight {honest:.3}");
        assert!(liar < 0.1, "the same key, were it to lie {liar:.3}");
    }
}
