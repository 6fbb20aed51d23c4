//! A first configuration from what is at hand: keys in the environment and servers on this machine.

use std::fmt::Write as _;

use super::Env;
use super::vendors::{VENDORS, Vendor};

/// A model server on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalServer {
    /// The id its provider gets, for example `ollama`.
    pub id: String,
    /// Where its OpenAI-compatible API is.
    pub base_url: String,
    /// The models it offers, at least one.
    pub models: Vec<LocalModel>,
}

/// A model that such a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// What the server calls it.
    pub name: String,
    /// Its context window in tokens, when the server tells.
    pub context_window: Option<u32>,
}

/// What a first configuration is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Vendors whose key is set.
    pub vendors: Vec<&'static Vendor>,
    /// Servers that answered.
    pub servers: Vec<LocalServer>,
}

impl Found {
    /// The vendors whose customary variable is set in the environment.
    pub fn in_environment(env: Env<'_>) -> Self {
        let is_set = |v: &&Vendor| env(v.key_env).is_some_and(|key| !key.trim().is_empty());
        Self { vendors: VENDORS.iter().filter(is_set).collect(), servers: Vec::new() }
    }

    /// Whether there is nothing to route to.
    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty() && self.servers.is_empty()
    }

    /// All arms, the default first.
    fn arms(&self) -> Vec<String> {
        let mut arms = Vec::new();
        for v in &self.vendors {
            arms.extend(v.starters.iter().map(|model| format!("{}/{model}", v.id)));
        }
        for server in &self.servers {
            arms.extend(server.models.iter().map(|model| format!("{}/{}", server.id, model.name)));
        }
        arms
    }

    /// A commented `pointsman.toml`; keys stand in it by the name of their variable alone.
    pub fn to_toml(&self) -> String {
        let mut text = String::from(HEAD);
        self.vendors.iter().for_each(|v| provider(&mut text, v));
        self.servers.iter().for_each(|s| server(&mut text, s));
        for v in &self.vendors {
            v.starters.iter().for_each(|m| model(&mut text, v.id, m, ""));
        }
        for s in &self.servers {
            s.models.iter().for_each(|m| model(&mut text, &s.id, &m.name, &free(m)));
        }
        let arms = self.arms();
        let list: String = arms.iter().map(|arm| format!("    {},\n", quoted(arm))).collect();
        let default = arms.first().map_or_else(|| quoted(""), |arm| quoted(arm));
        text.push_str(&ROUTE.replace("{models}", &list).replace("{default}", &default));
        text
    }
}

const HEAD: &str = "\
# Pointsman: which models there are and how requests are routed to them.
# Every key is explained in pointsman.example.toml; `pointsman check` finds what is wrong with this file.
schema_version = 1

[server]
listen = \"127.0.0.1:8080\"    # any other address needs client keys: pointsman keys create

[store]
url = \"sqlite:pointsman.db\"
store_prompts = \"none\"       # none | preview | full

[embedder]
kind = \"adaptive\"
";

const ROUTE: &str = "
# What clients ask for as `model`.
[routes.auto]
models = [
{models}]
default = {default}   # serves whenever the router is unsure or unwell
strategy = \"learned\"
weights = { quality = 0.7, cost = 0.2, latency = 0.1 }
";

/// What the catalog does not know of a local model.
fn free(model: &LocalModel) -> String {
    let window = match model.context_window {
        Some(tokens) => format!("context_window = {tokens}\n"),
        None => "context_window = 8192   # put here what the server was started with\n".to_owned(),
    };
    format!(
        "price = {{ input = 0.0, output = 0.0 }}   # USD per million tokens; running it may cost you more than nothing\n{window}"
    )
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn provider(text: &mut String, v: &Vendor) {
    let (id, format, env) = (v.id, v.format.as_str(), v.key_env);
    let _ = write!(text, "\n[providers.{id}]\nformat = \"{format}\"\napi_key_env = \"{env}\"\n");
}

fn server(text: &mut String, s: &LocalServer) {
    let url = quoted(&s.base_url);
    let _ = write!(text, "\n[providers.{}]\nformat = \"openai-compatible\"\nbase_url = {url}\n", s.id);
}

fn model(text: &mut String, provider: &str, name: &str, more: &str) {
    let (id, name) = (quoted(&format!("{provider}/{name}")), quoted(name));
    let _ = write!(text, "\n[models.{id}]\nprovider = \"{provider}\"\nmodel = {name}\n{more}");
}
