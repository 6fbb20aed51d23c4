//! Which arms can serve a request at all. What an arm cannot do makes it ineligible; nothing is dropped silently.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::domain::{Arm, ArmId, Capability, EmptyArmSet, Excluded, Exclusion, Prompt};

/// Token counts are estimates: an arm must have room for this much more than was counted.
const TOKEN_MARGIN: f64 = 1.15;
/// Room that every answer needs, in tokens.
const LEAST_OUTPUT_TOKENS: u32 = 16;

/// A caller's list of arm patterns, for example `openai/*`.
#[derive(Debug, Clone)]
pub struct ArmPatterns(GlobSet);

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} is not a glob: {message}")]
pub struct PatternError {
    /// Which.
    pub pattern: String,
    /// Why not.
    pub message: String,
}

impl ArmPatterns {
    /// # Errors
    /// When a pattern is not a glob.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let fault = |pattern: &str, e: &globset::Error| PatternError {
            pattern: pattern.to_owned(),
            message: e.kind().to_string(),
        };
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob =
                GlobBuilder::new(pattern).literal_separator(false).build().map_err(|e| fault(pattern, &e))?;
            set.add(glob);
        }
        set.build().map(Self).map_err(|e| fault("", &e))
    }

    fn matches(&self, arm: &ArmId) -> bool {
        self.0.is_match(arm.as_str())
    }
}

/// Arms that can serve, sorted by id and never none, and those that cannot.
#[derive(Debug, Clone, PartialEq)]
pub struct Eligible<'a> {
    /// Can serve.
    pub arms: Vec<&'a Arm>,
    /// Cannot, and why.
    pub excluded: Vec<Excluded>,
}

/// What only the caller knows of an arm at this moment.
pub struct Standing<'a> {
    /// Whether its provider's format has words for all that the request says.
    pub says: &'a dyn Fn(&Arm) -> bool,
    /// Whether it takes no new conversations, and this is one.
    pub draining: &'a dyn Fn(&ArmId) -> bool,
    /// Why it is not to be asked now; when none is to be, that is left out of account: whether anybody is asked then is for the dispatch
    /// to say, and the error is that of the calls.
    pub unwell: &'a dyn Fn(&ArmId) -> Option<Exclusion>,
}

/// Filters `candidates` (sorted by id).
///
/// # Errors
/// When no arm is left: the filter that took out the last.
pub fn eligible<'a>(
    candidates: &[&'a Arm],
    prompt: &Prompt,
    patterns: Option<&ArmPatterns>,
    standing: &Standing<'_>,
) -> Result<Eligible<'a>, EmptyArmSet> {
    let mut arms = Vec::with_capacity(candidates.len());
    let mut excluded = Vec::new();
    for arm in candidates {
        let mute = || (!(standing.says)(arm)).then_some(Exclusion::Format);
        let drains = || (standing.draining)(&arm.id).then_some(Exclusion::Draining);
        match hindrance(arm, prompt, patterns).or_else(mute).or_else(drains) {
            Some(why) => excluded.push(Excluded { arm: arm.id.clone(), why }),
            None => arms.push(*arm),
        }
    }
    if arms.is_empty() {
        let filter =
            excluded.iter().map(|e| e.why).max_by_key(|why| order(*why)).unwrap_or(Exclusion::CallerModels);
        return Err(EmptyArmSet { filter, candidates: candidates.len() });
    }
    let states: Vec<_> = arms.iter().map(|arm| (standing.unwell)(&arm.id)).collect();
    if states.contains(&None) {
        let (mut well, all) = (Vec::with_capacity(arms.len()), arms);
        for (arm, state) in all.into_iter().zip(states) {
            match state {
                Some(why) => excluded.push(Excluded { arm: arm.id.clone(), why }),
                None => well.push(arm),
            }
        }
        arms = well;
    }
    Ok(Eligible { arms, excluded })
}

/// The filters in the order in which they are asked.
fn hindrance(arm: &Arm, prompt: &Prompt, patterns: Option<&ArmPatterns>) -> Option<Exclusion> {
    if patterns.is_some_and(|p| !p.matches(&arm.id)) {
        return Some(Exclusion::CallerModels);
    }
    if let Some(missing) = prompt.needs.first_missing_in(arm.capabilities) {
        return Some(Exclusion::Capability(missing));
    }
    let wanted_output = prompt.max_output_tokens.unwrap_or(LEAST_OUTPUT_TOKENS);
    if arm.limits.max_output.is_some_and(|max| wanted_output > max) {
        return Some(Exclusion::OutputLimit);
    }
    let needed = f64::from(prompt.input_tokens) * TOKEN_MARGIN + f64::from(wanted_output);
    (needed > f64::from(arm.limits.context_window)).then_some(Exclusion::ContextWindow)
}

/// Later filters rank higher: the one that took out the last arm is the one furthest down the list.
fn order(why: Exclusion) -> usize {
    match why {
        Exclusion::CallerModels => 0,
        Exclusion::Capability(c) => 1 + Capability::ALL.iter().position(|x| *x == c).unwrap_or(0),
        Exclusion::OutputLimit => 10,
        Exclusion::ContextWindow => 11,
        Exclusion::Format => 12,
        Exclusion::Draining => 13,
        Exclusion::Unhealthy | Exclusion::RateLimited | Exclusion::Busy => 14,
        Exclusion::Budget => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Limits, Price, ProviderId};

    fn arm(id: &str, context_window: u32, capabilities: &[Capability]) -> Arm {
        Arm {
            id: ArmId::from(id),
            provider: ProviderId::from("p"),
            model: id.into(),
            price: Price::flat(1.0, 1.0),
            limits: Limits { context_window, max_output: Some(1000) },
            capabilities: capabilities.iter().copied().collect(),
        }
    }

    fn names(found: &Eligible<'_>) -> Vec<String> {
        found.arms.iter().map(|a| a.id.to_string()).collect()
    }

    fn standing<'a>(
        draining: &'a dyn Fn(&ArmId) -> bool,
        unwell: &'a dyn Fn(&ArmId) -> Option<Exclusion>,
    ) -> Standing<'a> {
        Standing { says: &|_| true, draining, unwell }
    }

    #[test]
    fn an_arm_whose_format_lacks_the_words_is_left_out() {
        let (a, b) = (arm("a", 8000, &[]), arm("b", 8000, &[]));
        let (stays, well) = (|_: &ArmId| false, |_: &ArmId| None);
        let of = |says: &dyn Fn(&Arm) -> bool| {
            let standing = Standing { says, draining: &stays, unwell: &well };
            eligible(&[&a, &b], &Prompt::default(), None, &standing).map(|e| (names(&e), e.excluded))
        };
        let (left, excluded) = of(&|arm| arm.id.as_str() == "b").unwrap();
        assert_eq!(left, ["b"]);
        assert_eq!(excluded, [Excluded { arm: "a".into(), why: Exclusion::Format }]);
        assert_eq!(of(&|_| false).unwrap_err().filter, Exclusion::Format);
    }

    #[test]
    fn each_filter_takes_out_what_it_must_and_says_so() {
        let (small, tools, large) =
            (arm("a/small", 100, &[]), arm("a/tools", 8000, &[Capability::Tools]), arm("b/large", 8000, &[]));
        let all = [&small, &tools, &large];
        let (stays, well) = (|_: &ArmId| false, |_: &ArmId| None);
        let long = Prompt { input_tokens: 500, ..Prompt::default() };
        let found = eligible(&all, &long, None, &standing(&stays, &well)).unwrap();
        assert_eq!(names(&found), ["a/tools", "b/large"]);
        assert_eq!(found.excluded, [Excluded { arm: "a/small".into(), why: Exclusion::ContextWindow }]);

        let with_tools = Prompt { needs: [Capability::Tools].into_iter().collect(), ..Prompt::default() };
        assert_eq!(names(&eligible(&all, &with_tools, None, &standing(&stays, &well)).unwrap()), ["a/tools"]);

        let patterns = ArmPatterns::new(&["b/*".into()]).unwrap();
        assert_eq!(
            names(&eligible(&all, &Prompt::default(), Some(&patterns), &standing(&stays, &well)).unwrap()),
            ["b/large"]
        );
        let empty = eligible(&all, &with_tools, Some(&patterns), &standing(&stays, &well)).unwrap_err();
        assert_eq!(empty, EmptyArmSet { filter: Exclusion::Capability(Capability::Tools), candidates: 3 });

        let much = Prompt { max_output_tokens: Some(1001), ..Prompt::default() };
        assert_eq!(
            eligible(&all, &much, None, &standing(&stays, &well)).unwrap_err().filter,
            Exclusion::OutputLimit
        );
    }

    #[test]
    fn health_counts_only_while_somebody_is_well() {
        let (a, b) = (arm("a", 8000, &[]), arm("b", 8000, &[]));
        let stays = |_: &ArmId| false;
        let found = eligible(
            &[&a, &b],
            &Prompt::default(),
            None,
            &standing(&stays, &|id: &ArmId| (id.as_str() == "a").then_some(Exclusion::Busy)),
        )
        .unwrap();
        assert_eq!(names(&found), ["b"]);
        assert_eq!(found.excluded[0].why, Exclusion::Busy);
        let nobody = eligible(
            &[&a, &b],
            &Prompt::default(),
            None,
            &standing(&stays, &|_: &ArmId| Some(Exclusion::Unhealthy)),
        )
        .unwrap();
        assert_eq!(names(&nobody), ["a", "b"]);
    }

    #[test]
    fn a_draining_arm_takes_nothing_new() {
        let (a, b) = (arm("a", 8000, &[]), arm("b", 8000, &[]));
        let well = |_: &ArmId| None;
        let found =
            eligible(&[&a, &b], &Prompt::default(), None, &standing(&|id: &ArmId| id.as_str() == "a", &well))
                .unwrap();
        assert_eq!(names(&found), ["b"]);
        assert_eq!(found.excluded, [Excluded { arm: "a".into(), why: Exclusion::Draining }]);
        let none =
            eligible(&[&a, &b], &Prompt::default(), None, &standing(&|_: &ArmId| true, &well)).unwrap_err();
        assert_eq!(none.filter, Exclusion::Draining);
    }

    #[test]
    fn a_bad_pattern_is_named() {
        assert_eq!(ArmPatterns::new(&["openai/[".into()]).unwrap_err().pattern, "openai/[");
    }
}
