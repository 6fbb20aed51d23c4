//! Prompts of a dozen kinds, made from templates and word lists of our own; thousands of them, all different.
//!
//! Deterministic: the same seed gives the same prompts. The kind and the level show in the words, so a router can learn from
//! them; nothing else tells them apart.

mod lexicon;
mod templates;

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Write a program.
    Code,
    /// Find a fault in one.
    Debugging,
    /// Write a query.
    Sql,
    /// Compute or prove.
    Maths,
    /// Reason in words.
    Puzzle,
    /// From English to another language.
    Translation,
    /// Shorten a text.
    Summary,
    /// Talk.
    Chat,
    /// Invent.
    Creative,
    /// Take facts out of a text.
    Extraction,
    /// Put facts into a format.
    Formatting,
    /// Choose a label.
    Classification,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Code,
        Self::Debugging,
        Self::Sql,
        Self::Maths,
        Self::Puzzle,
        Self::Translation,
        Self::Summary,
        Self::Chat,
        Self::Creative,
        Self::Extraction,
        Self::Formatting,
        Self::Classification,
    ];

    /// The name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Debugging => "debugging",
            Self::Sql => "sql",
            Self::Maths => "maths",
            Self::Puzzle => "puzzle",
            Self::Translation => "translation",
            Self::Summary => "summary",
            Self::Chat => "chat",
            Self::Creative => "creative",
            Self::Extraction => "extraction",
            Self::Formatting => "formatting",
            Self::Classification => "classification",
        }
    }
}

/// How hard an ask is, as its words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Any model should do.
    Easy,
    /// Some care is needed.
    Medium,
    /// Constraints, proofs, subtleties.
    Hard,
}

impl Level {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Medium, Self::Hard];

    /// Position on the scale of difficulty, in [0, 1].
    pub fn difficulty(self) -> f64 {
        match self {
            Self::Easy => 0.15,
            Self::Medium => 0.5,
            Self::Hard => 0.9,
        }
    }

    fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..20) {
            0..8 => Self::Easy,
            8..15 => Self::Medium,
            _ => Self::Hard,
        }
    }
}

/// One ask.
#[derive(Debug, Clone, PartialEq)]
pub struct SimPrompt {
    /// The words.
    pub text: String,
    /// What is asked.
    pub kind: Kind,
    /// How hard it is.
    pub level: Level,
}

/// `n` prompts, all different, kinds in equal shares and random order.
pub fn generate(n: usize, seed: u64) -> Vec<SimPrompt> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut seen = HashSet::with_capacity(n);
    let mut prompts = Vec::with_capacity(n);
    while prompts.len() < n {
        let prompt = draw(&mut rng);
        if seen.insert(prompt.text.clone()) {
            prompts.push(prompt);
        }
    }
    prompts
}

fn draw(rng: &mut StdRng) -> SimPrompt {
    let kind = Kind::ALL.choose(rng).copied().unwrap_or(Kind::Chat);
    let level = Level::draw(rng);
    let template = templates::templates(kind, level).choose(rng).copied().unwrap_or_default();
    SimPrompt { text: fill(template, rng), kind, level }
}

/// Replaces each slot; two slots of one name in a row never get the same word.
fn fill(template: &str, rng: &mut StdRng) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    let mut used: Vec<&str> = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        let Some((slot, tail)) = after.split_once('}') else { break };
        text.push_str(before);
        match slot {
            "n" => text.push_str(&rng.random_range(2..40_u32).to_string()),
            "big" => text.push_str(&rng.random_range(101..5000_u32).to_string()),
            _ => text.push_str(word(slot, &mut used, rng)),
        }
        rest = tail;
    }
    text.push_str(rest);
    text
}

fn word<'a>(slot: &str, used: &mut Vec<&'a str>, rng: &mut StdRng) -> &'a str {
    let words = lexicon::words(slot).unwrap_or(&[]);
    let fresh: Vec<&str> = words.iter().copied().filter(|w| !used.contains(w)).collect();
    let word = fresh.choose(rng).copied().unwrap_or_default();
    used.push(word);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_thousand_prompts_are_distinct_and_hold_every_kind_and_level() {
        let prompts = generate(6_000, 1);
        let texts: HashSet<&str> = prompts.iter().map(|p| p.text.as_str()).collect();
        assert_eq!(texts.len(), 6_000);
        for kind in Kind::ALL {
            let of_kind = prompts.iter().filter(|p| p.kind == kind).count();
            assert!((400..600).contains(&of_kind), "{}: {of_kind}", kind.as_str());
            for level in Level::ALL {
                let at_level = prompts.iter().filter(|p| p.kind == kind && p.level == level).count();
                assert!(at_level > 70, "{} {level:?}: {at_level}", kind.as_str());
            }
        }
    }

    #[test]
    fn every_slot_of_every_template_is_known() {
        for (kind, level) in Kind::ALL.iter().flat_map(|k| Level::ALL.map(|l| (*k, l))) {
            for template in templates::templates(kind, level) {
                for slot in template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|p| p.0) {
                    assert!(
                        matches!(slot, "n" | "big") || lexicon::words(slot).is_some(),
                        "{slot} in {template}"
                    );
                }
            }
        }
        assert!(generate(3_000, 2).iter().all(|p| !p.text.contains(['{', '}'])));
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(generate(50, 9), generate(50, 9));
        assert_ne!(generate(50, 9), generate(50, 10));
    }

    #[test]
    fn lengths_vary_and_harder_asks_are_longer() {
        let prompts = generate(3_000, 3);
        let mean = |level| {
            let lengths: Vec<usize> = prompts
                .iter()
                .filter(|p| p.level == level)
                .map(|p| p.text.split_whitespace().count())
                .collect();
            lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
        };
        assert!(mean(Level::Easy) > 6.0 && mean(Level::Easy) < 25.0, "{}", mean(Level::Easy));
        assert!(mean(Level::Hard) > mean(Level::Medium) && mean(Level::Hard) < 60.0, "{}", mean(Level::Hard));
    }
}
