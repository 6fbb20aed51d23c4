//! What can be said of a prompt without a network: a dozen numbers, cheap and readable.
//!
//! They are scored against constants of the features' manifest. Some of them never vary in the recorded prompts (turns, tools, JSON,
//! system prompt: those are single bare asks). For these the constants are stated in [`STATED`], with the mean where a bare ask
//! stands, so that offline training sees exactly 0 and gives them no weight.

use serde::{Deserialize, Serialize};

use crate::domain::Prompt;

/// How many there are.
pub const COUNT: usize = 12;

/// What they are called, in the order of the features.
pub const NAMES: [&str; COUNT] = [
    "log_input_tokens",
    "code",
    "maths",
    "digit_share",
    "non_ascii_share",
    "log_question_marks",
    "log_turns",
    "log_tools",
    "wants_json",
    "system_prompt",
    "log_max_output_tokens",
    "temperature",
];

/// Raw values; `None`: the request does not say, and the feature is 0.
pub type Statistics = [Option<f64>; COUNT];

/// Scores are clipped to this many standard deviations.
const CLIP: f64 = 3.0;
/// Bytes of the ask that are looked at: the flags need no more.
const LOOKED_AT: usize = 16 * 1024;

/// Marks of program text. One of the first three is enough; of the others it takes two.
const CODE_FENCES: [&str; 3] = ["```", "#include", "#!/"];
const CODE_MARKS: [&str; 24] = [
    "def ",
    "fn ",
    "class ",
    "import ",
    "return ",
    "function ",
    "const ",
    "var ",
    "let ",
    "print(",
    "();",
    ");\n",
    "{\n",
    "};",
    "=>",
    "->",
    "==",
    "!=",
    "</",
    "SELECT ",
    "self.",
    "public ",
    "std::",
    "assert ",
];
/// Marks of mathematics; the same rule.
const MATHS_FENCES: [&str; 4] = ["\\frac", "\\(", "$$", "\\begin{"];
const MATHS_MARKS: [&str; 28] = [
    "solve",
    "equation",
    "integral",
    "derivative",
    "theorem",
    "prove",
    "probability",
    "polynomial",
    "how many",
    "how much",
    "sum of",
    "product of",
    "triangle",
    "square root",
    "percent",
    "average",
    "calculate",
    "evaluate",
    "matrix",
    "modulo",
    "remainder",
    "per hour",
    "total",
    "^2",
    " + ",
    " = ",
    "\\sqrt",
    "$",
];

/// Mean and standard deviation that a statistic is scored against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// One of [`NAMES`].
    pub name: String,
    /// What scores 0.
    pub mean: f64,
    /// What one score is; above 0.
    pub sd: f64,
    /// Whether the constants come from the recorded prompts or are [`STATED`].
    pub fitted: bool,
}

/// Constants of the statistics that do not vary in the recorded prompts, from `log_turns` on: mean and standard deviation.
pub const STATED: [(f64, f64); 6] = [
    // ln(1 + 1): a single message.
    (std::f64::consts::LN_2, 0.8),
    (0.0, 1.0),
    (0.0, 1.0),
    (0.0, 1.0),
    // ln 1024 and a factor of 4.5.
    (6.93, 1.5),
    (0.7, 0.4),
];

/// Reads the numbers off a prompt.
pub fn statistics(prompt: &Prompt) -> Statistics {
    let ask = &prompt.ask[..prompt.ask.floor_char_boundary(LOOKED_AT)];
    let chars = ask.chars().count().max(1) as f64;
    let digits = ask.bytes().filter(u8::is_ascii_digit).count() as f64;
    let foreign = ask.chars().filter(|c| !c.is_ascii()).count() as f64;
    let questions = ask.chars().filter(|c| matches!(c, '?' | '\u{ff1f}' | '\u{61f}')).count() as f64;
    let maths =
        MATHS_FENCES.iter().any(|m| ask.contains(m)) || at_least_two(&ask.to_lowercase(), &MATHS_MARKS);
    let code = CODE_FENCES.iter().any(|m| ask.contains(m)) || at_least_two(ask, &CODE_MARKS);
    [
        Some(f64::from(prompt.input_tokens).ln_1p()),
        Some(flag(code)),
        Some(flag(maths)),
        Some(digits / chars),
        Some(foreign / chars),
        Some(questions.ln_1p()),
        Some(f64::from(prompt.turns).ln_1p()),
        Some(f64::from(prompt.tools).ln_1p()),
        Some(flag(prompt.wants_json)),
        Some(flag(prompt.system_family != 0)),
        prompt.max_output_tokens.map(|t| f64::from(t.max(1)).ln()),
        prompt.temperature.map(f64::from),
    ]
}

/// Scores in [-3, 3], in the order of [`NAMES`]. What the request does not say scores 0.
pub fn scores(raw: &Statistics, scales: &[Scale]) -> impl Iterator<Item = f32> {
    let score = |(value, scale): (&Option<f64>, &Scale)| {
        value.map_or(0.0, |v| ((v - scale.mean) / scale.sd).clamp(-CLIP, CLIP) as f32)
    };
    raw.iter().zip(scales).map(score).collect::<Vec<_>>().into_iter()
}

fn at_least_two(text: &str, marks: &[&str]) -> bool {
    marks.iter().filter(|m| text.contains(**m)).nth(1).is_some()
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::chat::prompt_of_text;

    fn value(name: &str, text: &str) -> f64 {
        let at = NAMES.iter().position(|n| *n == name).unwrap();
        statistics(&prompt_of_text(text))[at].unwrap()
    }

    #[test]
    fn code_and_maths_are_told_from_prose() {
        let code =
            ["Fix this:\n```\nx = 1\n```", "def f(x):\n    return x == 1", "SELECT a FROM t; -- why != b?"];
        let maths =
            ["Evaluate $$\\int x dx$$", "Solve the equation x^2 = 4", "How many apples are left in total?"];
        let prose = ["The harbour froze over in January.", "Write a toast for my sister's wedding.", ""];
        assert!(code.iter().all(|t| value("code", t) == 1.0));
        assert!(maths.iter().all(|t| value("maths", t) == 1.0));
        assert!(prose.iter().all(|t| value("code", t) == 0.0 && value("maths", t) == 0.0));
    }

    #[test]
    fn shares_and_counts_are_of_characters() {
        assert_eq!(value("digit_share", "12ab"), 0.5);
        assert_eq!(value("non_ascii_share", "éa"), 0.5);
        assert_eq!(value("non_ascii_share", "列车"), 1.0);
        assert_eq!(value("log_question_marks", "a? b?"), 2.0f64.ln_1p());
        // Four for the message and 1.4 for its text, rounded up.
        assert_eq!(value("log_input_tokens", "12345"), 6.0f64.ln_1p());
    }

    #[test]
    fn a_bare_text_scores_zero_wherever_the_constants_are_stated() {
        let scales: Vec<Scale> = NAMES
            .iter()
            .enumerate()
            .map(|(i, name)| {
                let (mean, sd) = i.checked_sub(COUNT - STATED.len()).map_or((0.0, 1.0), |i| STATED[i]);
                Scale { name: (*name).into(), mean, sd, fitted: false }
            })
            .collect();
        let scored: Vec<f32> = scores(&statistics(&prompt_of_text("What is 17 * 23?")), &scales).collect();
        assert_eq!(scored.len(), COUNT);
        assert!(scored[6..].iter().all(|s| *s == 0.0), "{scored:?}");
    }

    proptest! {
        #[test]
        fn scores_are_finite_and_clipped(
            ask in "\\PC{0,400}", turns: u32, tools: u32, tokens: u32, max: Option<u32>, temperature in proptest::option::of(-1e30f32..1e30)
        ) {
            let prompt = Prompt { turns, tools, input_tokens: tokens, max_output_tokens: max, temperature, ..prompt_of_text(&ask) };
            let scale = |name: &&str| Scale { name: (*name).into(), mean: 0.1, sd: 1e-3, fitted: true };
            let scales: Vec<Scale> = NAMES.iter().map(scale).collect();
            let scored: Vec<f32> = scores(&statistics(&prompt), &scales).collect();
            prop_assert!(scored.iter().all(|s| s.abs() <= 3.0), "{scored:?}");
        }
    }
}
