//! Our own fields of a request: the object `pointsman`, and OpenRouter's `models`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::{Constraints, Preference, PreferenceError, Weights};
use crate::wire::WireError;

/// Most models that a request may name.
const MAX_MODELS: usize = 64;
/// Most tags that a request may carry.
const MAX_TAGS: usize = 32;
/// Longest id, tag or pattern, in bytes.
const MAX_TEXT: usize = 512;

/// What a caller asks of the router itself; empty when the request has no `pointsman` object. Checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extension {
    /// From `weights` or `value`.
    pub preference: Option<Preference>,
    /// From `max_cost_usd`, `max_latency_ms` and `min_quality`.
    pub constraints: Constraints,
    /// Arms or patterns (`openai/*`) that may serve; empty: any.
    pub models: Vec<String>,
    /// Which budget to charge.
    pub budget: Option<String>,
    /// Which conversation it belongs to.
    pub session_id: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// Decide, but call nobody.
    pub dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    weights: Option<RawWeights>,
    value: Option<RawWorth>,
    max_cost_usd: Option<f64>,
    max_latency_ms: Option<f64>,
    min_quality: Option<f64>,
    models: Option<Vec<String>>,
    budget: Option<String>,
    session_id: Option<String>,
    user: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWeights {
    quality: f64,
    #[serde(default)]
    cost: f64,
    #[serde(default)]
    latency: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorth {
    quality_usd: f64,
    #[serde(default)]
    second_usd: f64,
}

impl Extension {
    /// Reads the `pointsman` object.
    ///
    /// # Errors
    /// The field at fault as `pointsman.…`: unknown, of the wrong type, or out of range.
    pub(super) fn read(raw: &RawValue) -> Result<Self, WireError> {
        if raw.get() == "null" {
            return Ok(Self::default());
        }
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let raw: Raw = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = match error.path().to_string().as_str() {
                "." => "pointsman".to_owned(),
                path => format!("pointsman.{path}"),
            };
            // The position that the parser adds counts from the object's start and would mislead.
            let inner = error.inner().to_string();
            let why = inner.split(" at line ").next().unwrap_or_default();
            WireError::invalid(path.clone(), format!("{path}: {why}"))
        })?;
        Self::check(raw)
    }

    fn check(raw: Raw) -> Result<Self, WireError> {
        let preference = match (raw.weights, raw.value) {
            (Some(_), Some(_)) => {
                return Err(WireError::invalid(
                    "pointsman.value",
                    "give pointsman.weights or pointsman.value, not both",
                ));
            }
            (Some(w), None) => {
                let weights = Weights::new(w.quality, w.cost, w.latency).map_err(of_preference)?;
                Some(Preference::Weights(weights))
            }
            (None, Some(v)) => Some(Preference::value(v.quality_usd, v.second_usd).map_err(of_preference)?),
            (None, None) => None,
        };
        let constraints = Constraints {
            max_cost_usd: raw.max_cost_usd,
            max_latency_ms: raw.max_latency_ms,
            min_quality: raw.min_quality,
        };
        let extension = Self {
            preference,
            constraints: constraints.checked().map_err(of_preference)?,
            models: raw.models.unwrap_or_default(),
            budget: raw.budget,
            session_id: raw.session_id,
            user: raw.user,
            tags: raw.tags.unwrap_or_default(),
            dry_run: raw.dry_run.unwrap_or(false),
        };
        extension.check_sizes()?;
        Ok(extension)
    }

    fn check_sizes(&self) -> Result<(), WireError> {
        check_models(&self.models, "pointsman.models")?;
        if self.tags.len() > MAX_TAGS {
            return Err(WireError::must("pointsman.tags", "at most 32 tags"));
        }
        let tags = self.tags.iter().flat_map(|(k, v)| [k, v]).map(|t| ("tags", t));
        let named = [("budget", &self.budget), ("session_id", &self.session_id), ("user", &self.user)];
        let texts = named.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        match texts.chain(tags).find(|(_, text)| text.len() > MAX_TEXT) {
            Some((name, _)) => Err(WireError::must(format!("pointsman.{name}"), "at most 512 bytes long")),
            None => Ok(()),
        }
    }
}

/// Reads OpenRouter's ordered fallbacks, the top-level `models`.
///
/// # Errors
/// When it is no array of strings, or too long.
pub(super) fn read_fallback_models(raw: &RawValue) -> Result<Vec<String>, WireError> {
    let models: Option<Vec<String>> =
        serde_json::from_str(raw.get()).map_err(|_| WireError::must("models", "an array of model names"))?;
    let models = models.unwrap_or_default();
    check_models(&models, "models")?;
    Ok(models)
}

fn check_models(models: &[String], param: &str) -> Result<(), WireError> {
    if models.len() > MAX_MODELS {
        return Err(WireError::must(param, "at most 64 names"));
    }
    match models.iter().position(|m| m.is_empty() || m.len() > MAX_TEXT) {
        Some(i) => Err(WireError::must(format!("{param}[{i}]"), "a model name of 1 to 512 bytes")),
        None => Ok(()),
    }
}

fn of_preference(error: PreferenceError) -> WireError {
    WireError::invalid(format!("pointsman.{}", error.field), format!("pointsman.{error}"))
}
