//! One entry of `model_list`.

use super::reader::Section;
use crate::config::settings::ProviderFormat;
use crate::config::vendors::vendor;

/// How LiteLLM's prefixes are called here; where an address is needed, the vendor has none of its own.
const PREFIXES: &[(&str, &str, ProviderFormat)] = &[
    ("openai", "openai", ProviderFormat::OpenAi),
    ("anthropic", "anthropic", ProviderFormat::Anthropic),
    ("gemini", "gemini", ProviderFormat::Gemini),
    ("cohere", "cohere", ProviderFormat::Cohere),
    ("cohere_chat", "cohere", ProviderFormat::Cohere),
    ("openrouter", "openrouter", ProviderFormat::OpenAiCompatible),
    ("groq", "groq", ProviderFormat::OpenAiCompatible),
    ("mistral", "mistral", ProviderFormat::OpenAiCompatible),
    ("xai", "xai", ProviderFormat::OpenAiCompatible),
    ("deepseek", "deepseek", ProviderFormat::OpenAiCompatible),
    ("together_ai", "together", ProviderFormat::OpenAiCompatible),
    ("fireworks_ai", "fireworks", ProviderFormat::OpenAiCompatible),
    ("cerebras", "cerebras", ProviderFormat::OpenAiCompatible),
    ("moonshot", "moonshot", ProviderFormat::OpenAiCompatible),
    ("ollama", "ollama", ProviderFormat::OpenAiCompatible),
    ("ollama_chat", "ollama", ProviderFormat::OpenAiCompatible),
    ("hosted_vllm", "vllm", ProviderFormat::OpenAiCompatible),
    ("openai_like", "server", ProviderFormat::OpenAiCompatible),
    ("custom_openai", "server", ProviderFormat::OpenAiCompatible),
    ("lm_studio", "lm-studio", ProviderFormat::OpenAiCompatible),
    ("litellm_proxy", "litellm", ProviderFormat::OpenAiCompatible),
];

/// An account or server; two deployments with the same share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// What it is called unless another account is already.
    pub(super) name: String,
    pub(super) format: ProviderFormat,
    pub(super) base_url: Option<String>,
    pub(super) key_env: Option<String>,
    /// Azure's: its calls have another path and another header for the key.
    pub(super) api_version: Option<String>,
}

/// A model at an account, and the group that clients ask for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deployment {
    pub(super) group: String,
    pub(super) account: Account,
    pub(super) model: String,
    /// USD per million tokens: input, output, cached input.
    pub(super) price: Option<(f64, f64, Option<f64>)>,
    pub(super) context_window: Option<f64>,
    pub(super) max_output: Option<f64>,
    pub(super) capabilities: Vec<&'static str>,
    /// Of the group's traffic, relative to the others'.
    pub(super) weight: Option<f64>,
}

impl Deployment {
    /// `None`: it cannot be carried over, and why is said.
    pub(super) fn read(mut entry: Section<'_>) -> Option<Self> {
        let group = entry.text("model_name");
        let (params, info) = (entry.take("litellm_params"), entry.take("model_info"));
        let Some(group) = group.filter(|group| !group.is_empty()) else {
            entry.leave("model_name", "is missing: nobody could ask for this deployment");
            return None;
        };
        if group.contains('*') {
            entry.leave(
                "model_name",
                "patterns are not known; list the models, or ask for them as `provider/model`",
            );
            return None;
        }
        let info = Info::read(Section::of(info.unwrap_or_default(), &entry.at("model_info"), entry.left()));
        if let Some(mode) =
            info.mode.as_deref().filter(|mode| !matches!(*mode, "chat" | "completion" | "responses"))
        {
            entry.leave("", &format!("mode {mode} is not routed: chat models are"));
            return None;
        }
        let path = entry.at("litellm_params");
        let read = Params::read(Section::of(params.unwrap_or_default(), &path, entry.left()))?;
        entry.finish("there is nothing like it");
        let price = read.price.or(info.price);
        Some(Self {
            group,
            account: read.account,
            model: read.model,
            price,
            context_window: info.context_window,
            max_output: info.max_output,
            capabilities: info.capabilities,
            weight: read.weight,
        })
    }
}

struct Params {
    account: Account,
    model: String,
    price: Option<(f64, f64, Option<f64>)>,
    weight: Option<f64>,
}

impl Params {
    fn read(mut params: Section<'_>) -> Option<Self> {
        let Some(whole) = params.text("model") else {
            params.leave("model", "is missing: which model it is");
            return None;
        };
        let declared = params.text("custom_llm_provider");
        let base = params.text("api_base").or_else(|| params.text("base_url"));
        let version = params.text("api_version");
        let (prefix, model) = match (declared, whole.split_once('/')) {
            (Some(declared), _) => {
                (declared.clone(), whole.strip_prefix(&format!("{declared}/")).unwrap_or(&whole).to_owned())
            }
            (None, Some((prefix, model))) => (prefix.to_owned(), model.to_owned()),
            (None, None) if whole.starts_with("claude") => ("anthropic".to_owned(), whole.clone()),
            (None, None) => ("openai".to_owned(), whole.clone()),
        };
        let key = params.take("api_key");
        let mut account = account(&prefix, base, version, &mut params)?;
        account.key_env = key_env(key, &account.name, &mut params);
        let price = price(&mut params);
        let weight = ["weight", "rpm", "tpm"].into_iter().fold(None, |found, name| {
            let number = params.number(name);
            if name != "weight" && number.is_some() {
                params.leave(name, "is read as the deployment's share alone; bound calls in flight by `max_in_flight` of the provider");
            }
            found.or(number)
        });
        params.finish("is not sent with calls; clients may send it in their requests");
        Some(Self { account, model, price, weight })
    }
}

/// Azure's address is that of the resource; the deployment's place in it is the provider's `path`.
fn account(
    prefix: &str,
    base: Option<String>,
    version: Option<String>,
    params: &mut Section<'_>,
) -> Option<Account> {
    if prefix == "azure" {
        let Some(base) = base else {
            params.leave("api_base", "is missing: Azure has an address for each resource");
            return None;
        };
        let version = version.unwrap_or_else(|| "2024-10-21".to_owned());
        return Some(Account {
            name: format!("azure-{}", plain(resource(&base))),
            format: ProviderFormat::OpenAi,
            base_url: Some(base.trim_end_matches('/').to_owned()),
            key_env: None,
            api_version: Some(version),
        });
    }
    let Some((_, name, format)) = PREFIXES.iter().find(|(known, _, _)| *known == prefix) else {
        params.leave(
            "model",
            &format!("`{prefix}` is no provider that is known here; give an OpenAI-compatible address of it"),
        );
        return None;
    };
    let own = match format {
        ProviderFormat::OpenAiCompatible => vendor(name).is_some(),
        _ => true,
    };
    if base.is_none() && !own {
        params.leave("api_base", &format!("is missing: {name} has no address of its own"));
        return None;
    }
    // Ollama and others serve OpenAI's API below /v1, which LiteLLM does not have in the address.
    let with_version = |base: String| {
        let base = base.trim_end_matches('/').to_owned();
        if *name == "ollama" && !base.ends_with("/v1") { base + "/v1" } else { base }
    };
    // Somebody else's server behind OpenAI's name takes other liberties with the format.
    let is_other =
        *format == ProviderFormat::OpenAi && base.as_ref().is_some_and(|b| !b.contains("api.openai.com"));
    Some(Account {
        name: if is_other { "server".to_owned() } else { (*name).to_owned() },
        format: if is_other { ProviderFormat::OpenAiCompatible } else { *format },
        base_url: base.map(with_version),
        key_env: None,
        api_version: None,
    })
}

/// Azure's name for whose models they are: the first part of the host.
fn resource(base: &str) -> &str {
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    host.split(['.', '/', ':']).next().unwrap_or_default()
}

/// A key that is written in the file is not copied: it gets a variable, which is said.
fn key_env(key: Option<serde_json::Value>, account: &str, params: &mut Section<'_>) -> Option<String> {
    let key = key?.as_str().map(str::to_owned)?;
    if let Some(name) = key.strip_prefix("os.environ/") {
        return Some(name.to_owned());
    }
    let name = format!("{}_API_KEY", plain(account).replace(['-', '.'], "_").to_uppercase());
    params.leave("api_key", &format!("a secret is never copied; put it into the variable {name}"));
    Some(name)
}

/// USD per token there, per million here.
fn price(section: &mut Section<'_>) -> Option<(f64, f64, Option<f64>)> {
    let mut of = |name: &str| section.number(name).map(|usd| (usd * 1e12).round() / 1e6);
    let (input, output) = (of("input_cost_per_token"), of("output_cost_per_token"));
    let cached = of("cache_read_input_token_cost");
    Some((input?, output?, cached))
}

/// Letters, digits and `-`.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' }).collect()
}

#[derive(Default)]
struct Info {
    mode: Option<String>,
    price: Option<(f64, f64, Option<f64>)>,
    context_window: Option<f64>,
    max_output: Option<f64>,
    capabilities: Vec<&'static str>,
}

impl Info {
    fn read(mut info: Section<'_>) -> Self {
        let mode = info.text("mode");
        let price = price(&mut info);
        let output = info.number("max_output_tokens");
        let window = info.number("max_input_tokens");
        let max_tokens = info.number("max_tokens");
        let mut capabilities = Vec::new();
        for (key, capability) in [
            ("supports_function_calling", "tools"),
            ("supports_vision", "images"),
            ("supports_audio_input", "audio"),
            ("supports_response_schema", "json_schema"),
            ("supports_reasoning", "reasoning"),
        ] {
            if info.take(key).is_some_and(|value| value.as_bool() == Some(true)) {
                capabilities.push(capability);
            }
        }
        // Names and descriptions of the entry itself.
        for name in ["id", "base_model", "description"] {
            info.take(name);
        }
        info.finish("there is nothing like it");
        Self { mode, price, context_window: window, max_output: output.or(max_tokens), capabilities }
    }
}
