//! A model whose level moves: believed when the alarm comes, while what it is good at is kept.

use super::*;
use crate::policy::drift::{Direction, Signal};

/// Reports on one arm that is better by .1 where the first feature is 1 and worse by as much where it is -1.
struct Reports {
    state: LearnedState,
    rng: StdRng,
    tick: u64,
}

impl Reports {
    fn give(&mut self, level: f64) {
        self.tick += 1;
        let side: f32 = if self.rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let value = level + 0.1 * f64::from(side) + self.rng.random_range(-0.15..0.15);
        let x = context(&[side, 0.0]);
        self.state.apply(&report(&ArmId::from("a"), &x, value.clamp(0.0, 1.0), self.tick)).unwrap();
    }

    fn expected(&self, side: f32) -> f64 {
        let question = Question::new(vec![arm("a", 1.0, 4.0)], Some(context(&[side, 0.0])));
        let policy = self.state.snapshot(PolicyVersion::from("p"));
        question.ask(|ask| policy.estimates(ask).unwrap()[0].quality.mean)
    }

    fn raised(&self) -> Vec<Alarm> {
        self.state.snapshot(PolicyVersion::from("p")).report().alarms
    }
}

#[test]
fn at_an_alarm_the_new_level_is_believed_at_once_and_what_the_model_is_good_at_is_kept() {
    let state = LearnedState::with_settings(schema(), 3, few_strong_features()).unwrap();
    let mut reports = Reports { state, rng: StdRng::seed_from_u64(21), tick: 0 };
    (0..800).for_each(|_| reports.give(0.75));
    assert_eq!(reports.raised(), [], "nothing has happened");
    for (level, direction) in [(0.5, Direction::Down), (0.75, Direction::Up)] {
        let before = reports.raised().len();
        let mut heard = 0;
        while reports.raised().len() == before {
            reports.give(level);
            heard += 1;
            assert!(heard <= 25, "nothing noticed after {heard} reports");
        }
        let alarm = reports.raised().pop().unwrap();
        assert_eq!((alarm.signal, alarm.change.direction), (Signal::Quality, direction));
        let (high, low) = (reports.expected(1.0), reports.expected(-1.0));
        assert!(((high + low) / 2.0 - level).abs() < 0.08, "{high} and {low} around {level}");
        assert!((high - low - 0.2).abs() < 0.06, "{high} and {low} are no longer .2 apart");
        // The watch takes the new level for normal only after so many, and nothing else is raised.
        (0..200).for_each(|_| reports.give(level));
        assert_eq!(reports.raised().len(), before + 1);
        let (high, low) = (reports.expected(1.0), reports.expected(-1.0));
        assert!(((high + low) / 2.0 - level).abs() < 0.03, "{high} and {low} around {level}");
    }
}
