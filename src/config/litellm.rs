//! From a LiteLLM proxy's configuration to `pointsman.toml`.
//!
//! Every deployment becomes a model, every `model_name` a route over its deployments whose fallbacks come after them, and one route
//! `auto` over all of them learns. What has no place here is named, key by key: nothing is dropped in silence, and a key that stands in
//! the file is never copied.

mod deployment;
mod reader;
mod write;

use std::collections::BTreeMap;

use serde_json::Value;

use deployment::Deployment;
use reader::Section;

/// A configuration made of another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The text of a `pointsman.toml`.
    pub toml: String,
    /// One line for each thing that was not carried over: where it stands, and why or what to do.
    pub left: Vec<String>,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is no YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// The file holds no deployment that can be used.
    #[error("`model_list` has no deployment that can be carried over{}", .left.iter().map(|l| format!("\n  {l}")).collect::<String>())]
    Empty {
        /// Why each was left.
        left: Vec<String>,
    },
}

/// What the routes have in common.
#[derive(Debug, Clone, Default, PartialEq)]
struct Common {
    strategy: Option<String>,
    retries: Option<u64>,
    timeout_s: Option<f64>,
    /// Groups that come after each group's own deployments.
    fallbacks: BTreeMap<String, Vec<String>>,
    /// After those, for every group.
    default_fallbacks: Vec<String>,
    aliases: BTreeMap<String, String>,
}

/// Translates the text of a LiteLLM configuration.
///
/// # Errors
/// When it is no YAML, or no deployment can be carried over.
pub fn import(yaml: &str) -> Result<Imported, ImportError> {
    let whole: Value = serde_saphyr::from_str(yaml).map_err(|e| ImportError::Yaml(e.to_string()))?;
    let mut left = Vec::new();
    let mut root = Section::of(whole, "", &mut left);
    let list = root.list("model_list");
    let mut common = Common::default();
    for name in ["router_settings", "litellm_settings"] {
        if let Some(section) = root.take(name) {
            common.read(Section::of(section, name, root.left()));
        }
    }
    if root.take("general_settings").is_some() {
        root.leave(
            "general_settings",
            "client keys are made with `pointsman keys create`, the log is a file of its own; see `[server]` and `[store]`",
        );
    }
    if let Some(Value::Object(variables)) = root.take("environment_variables") {
        for name in variables.keys() {
            let advice = "set it where the service is started; secrets never stand in the file";
            root.leave(&format!("environment_variables.{name}"), advice);
        }
    }
    root.finish("there is nothing like it");
    let deployments: Vec<Deployment> = list
        .into_iter()
        .enumerate()
        .filter_map(|(i, entry)| Deployment::read(Section::of(entry, &format!("model_list[{i}]"), &mut left)))
        .collect();
    if deployments.is_empty() {
        return Err(ImportError::Empty { left });
    }
    let toml = write::config(&deployments, &common, &mut left);
    Ok(Imported { toml, left })
}

impl Common {
    fn read(&mut self, mut section: Section<'_>) {
        self.strategy = section.text("routing_strategy").or_else(|| self.strategy.take());
        self.retries = section.number("num_retries").map(|n| n.max(0.0) as u64).or(self.retries);
        for name in ["timeout", "request_timeout"] {
            self.timeout_s = section.number(name).or(self.timeout_s);
        }
        for entry in section.list("fallbacks") {
            let Value::Object(entry) = entry else { continue };
            for (group, others) in entry {
                self.fallbacks.entry(group).or_default().extend(reader::texts(others));
            }
        }
        if let Some(others) = section.take("default_fallbacks") {
            self.default_fallbacks.extend(reader::texts(others));
        }
        if let Some(Value::Object(aliases)) = section.take("model_group_alias") {
            for (alias, group) in aliases {
                match group {
                    Value::String(group) => drop(self.aliases.insert(alias, group)),
                    _ => section.leave(&format!("model_group_alias.{alias}"), "is no plain name of a group"),
                }
            }
        }
        for (name, advice) in [
            ("allowed_fails", "breakers open and close by what they see of each model"),
            ("cooldown_time", "breakers open and close by what they see of each model"),
            (
                "retry_after",
                "waits grow from `retry.base_ms` up to `retry.max_wait_ms`, or are what Retry-After says",
            ),
            (
                "context_window_fallbacks",
                "a model whose window is too small for a request is not eligible, without being told",
            ),
            (
                "content_policy_fallbacks",
                "a refusal is an answer: report it as feedback, and such prompts go elsewhere",
            ),
            ("drop_params", "a model that cannot take a field is not eligible for that request"),
            ("enable_pre_call_checks", "they are always on"),
        ] {
            if section.take(name).is_some() {
                section.leave(name, advice);
            }
        }
        section.finish("there is nothing like it");
    }
}

#[cfg(test)]
mod tests;
