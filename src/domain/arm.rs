//! Arms and the catalog: which models there are, what they cost and what they can do.

use serde::{Deserialize, Serialize};

use super::{ArmId, Price, ProviderId};

/// How much an arm takes in and gives out, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Input and output together.
    pub context_window: u32,
    /// Longest answer; `None`: bounded by the context window alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u32>,
}

/// Something a request may need and an arm may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Function calling.
    Tools,
    /// Image input.
    Images,
    /// Audio input or output.
    Audio,
    /// Answers that obey a JSON schema.
    JsonSchema,
    /// Thinking before the answer, with an effort setting.
    Reasoning,
}

impl Capability {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Tools, Self::Images, Self::Audio, Self::JsonSchema, Self::Reasoning];

    /// The name used in configuration, answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::JsonSchema => "json_schema",
            Self::Reasoning => "reasoning",
        }
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Capability>", into = "Vec<Capability>")]
pub struct CapabilitySet(u8);

impl CapabilitySet {
    /// Whether `capability` is in the set.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Adds `capability`.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability as u8;
    }

    /// The first capability of `self` that `offered` lacks.
    pub fn first_missing_in(self, offered: Self) -> Option<Capability> {
        Capability::ALL.into_iter().find(|c| self.contains(*c) && !offered.contains(*c))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(items: I) -> Self {
        let mut set = Self::default();
        items.into_iter().for_each(|c| set.insert(c));
        set
    }
}

impl From<Vec<Capability>> for CapabilitySet {
    fn from(items: Vec<Capability>) -> Self {
        items.into_iter().collect()
    }
}

impl From<CapabilitySet> for Vec<Capability> {
    fn from(set: CapabilitySet) -> Self {
        Capability::ALL.into_iter().filter(|c| set.contains(*c)).collect()
    }
}

/// Who says what an arm costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// The built-in catalog.
    Catalog,
    /// The configuration.
    Config,
}

/// One model behind one provider at one price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// The name clients and the log use.
    pub id: ArmId,
    /// Whose account serves it.
    pub provider: ProviderId,
    /// The provider's own model name.
    pub model: String,
    /// What it charges.
    pub price: Price,
    /// What fits.
    pub limits: Limits,
    /// What it can do.
    pub capabilities: CapabilitySet,
}

/// The versioned list of arms, sorted by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    version: String,
    arms: Vec<Arm>,
}

impl Catalog {
    /// Sorts `arms` by id; of two with one id the first stays.
    pub fn new(version: impl Into<String>, mut arms: Vec<Arm>) -> Self {
        arms.sort_by(|a, b| a.id.cmp(&b.id));
        arms.dedup_by(|b, a| a.id == b.id);
        Self { version: version.into(), arms }
    }

    /// Which prices and limits these are.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All arms by id.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The arm of that id.
    pub fn get(&self, id: &ArmId) -> Option<&Arm> {
        self.arms.binary_search_by(|a| a.id.cmp(id)).ok().map(|i| &self.arms[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_capability_is_named() {
        let needs: CapabilitySet = [Capability::Images, Capability::Tools].into_iter().collect();
        let offered: CapabilitySet = [Capability::Tools].into_iter().collect();
        assert_eq!(needs.first_missing_in(offered), Some(Capability::Images));
        assert_eq!(offered.first_missing_in(needs), None);
    }
}
