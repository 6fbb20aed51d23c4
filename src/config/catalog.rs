//! The built-in catalog: models that people use, from `data/catalog.toml`.

use serde::Deserialize;

use crate::domain::{Capability, CapabilitySet, Limits, Price};

const TEXT: &str = include_str!("../../data/catalog.toml");

/// One model as its vendor sells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogModel {
    /// Whose API serves it.
    pub vendor: String,
    /// What that API calls it.
    pub name: String,
    /// Dated names at the same price.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// List price.
    pub price: Price,
    /// Input and output together, tokens.
    pub context_window: u32,
    /// Longest answer, tokens.
    pub max_output: Option<u32>,
    /// What it can do.
    pub capabilities: Vec<Capability>,
}

impl CatalogModel {
    /// What fits.
    pub fn limits(&self) -> Limits {
        Limits { context_window: self.context_window, max_output: self.max_output }
    }

    /// What it can do, as a set.
    pub fn capabilities(&self) -> CapabilitySet {
        self.capabilities.iter().copied().collect()
    }
}

/// All known models, sorted by vendor and name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltInCatalog {
    /// The day at which the prices were in force.
    pub version: String,
    /// The models.
    #[serde(rename = "model")]
    pub models: Vec<CatalogModel>,
}

impl BuiltInCatalog {
    /// Reads the catalog that is built into the binary.
    ///
    /// # Errors
    /// When the built-in text is no catalog; a test keeps that from being released.
    pub fn load() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    /// The model that `vendor` sells under `name` or one of its aliases.
    pub fn get(&self, vendor: &str, name: &str) -> Option<&CatalogModel> {
        let is_it = |m: &&CatalogModel| m.name == name || m.aliases.iter().any(|a| a == name);
        self.models.iter().filter(|m| m.vendor == vendor).find(is_it)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::vendors::VENDORS;

    #[test]
    fn the_catalog_is_sorted_and_names_each_model_once() {
        let catalog = BuiltInCatalog::load().unwrap();
        assert!(catalog.models.is_sorted_by_key(|m| (&m.vendor, &m.name)));
        let names = catalog.models.iter().flat_map(|m| {
            std::iter::once(&m.name).chain(&m.aliases).map(|name| (m.vendor.clone(), name.clone()))
        });
        let mut seen = HashSet::new();
        names.for_each(|name| assert!(seen.insert(name.clone()), "{name:?} stands twice"));
        assert!(catalog.models.len() >= 60, "{} models", catalog.models.len());
    }

    #[test]
    fn every_price_is_above_zero_and_every_window_holds_its_answers() {
        for m in BuiltInCatalog::load().unwrap().models {
            let cached = m.price.cached_input.unwrap_or(m.price.input);
            assert!(m.price.is_valid() && m.price.input > 0.0 && m.price.output >= m.price.input, "{m:?}");
            assert!(cached > 0.0 && cached <= m.price.input, "{m:?}");
            assert!(
                m.context_window >= 8192 && m.max_output.is_none_or(|o| o > 0 && o < m.context_window),
                "{m:?}"
            );
        }
    }

    #[test]
    fn the_vendor_of_every_model_is_known() {
        for m in BuiltInCatalog::load().unwrap().models {
            assert!(VENDORS.iter().any(|v| v.id == m.vendor), "{}", m.vendor);
        }
    }

    #[test]
    fn a_dated_name_finds_its_model_and_another_vendors_does_not() {
        let catalog = BuiltInCatalog::load().unwrap();
        assert_eq!(catalog.get("openai", "gpt-5-mini-2025-08-07").unwrap().name, "gpt-5-mini");
        assert!(catalog.get("anthropic", "gpt-5-mini").is_none());
        assert!(catalog.get("openai", "gpt-5-mini-2099-01-01").is_none());
    }
}
