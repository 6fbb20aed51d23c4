//! Vendors whose APIs we know: where they are, which variable holds their key, and which of their models make a good start.

use super::settings::ProviderFormat;

/// A vendor's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vendor {
    /// Its id in the catalog, and the id of the provider when nothing else is said.
    pub id: &'static str,
    /// What it speaks.
    pub format: ProviderFormat,
    /// Where its API is.
    pub base_url: &'static str,
    /// The environment variable that holds the key by custom.
    pub key_env: &'static str,
    /// A few of its models for a start, the default first.
    pub starters: &'static [&'static str],
}

/// All of them; the first one with a key gives the default model of a configuration without a file.
pub const VENDORS: &[Vendor] = &[
    Vendor {
        id: "openai",
        format: ProviderFormat::OpenAi,
        base_url: "https://api.openai.com/v1",
        key_env: "OPENAI_API_KEY",
        starters: &["gpt-5-mini", "gpt-5-nano", "gpt-5.4-mini", "gpt-5.4"],
    },
    Vendor {
        id: "anthropic",
        format: ProviderFormat::Anthropic,
        base_url: "https://api.anthropic.com/v1",
        key_env: "ANTHROPIC_API_KEY",
        starters: &["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8"],
    },
    compatible(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        &[
            "openai/gpt-5-mini",
            "qwen/qwen3-235b-a22b-2507",
            "deepseek/deepseek-v3.2",
            "google/gemini-2.5-flash",
            "anthropic/claude-sonnet-4.6",
        ],
    ),
    compatible(
        "google",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        &["gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"],
    ),
    compatible(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        &["mistral-large-2512", "ministral-14b-2512", "mistral-small-2603"],
    ),
    compatible(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        &["grok-4-1-fast-reasoning", "grok-4-1-fast-non-reasoning", "grok-4.3"],
    ),
    compatible(
        "deepseek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        &["deepseek-v4-pro", "deepseek-v4-flash"],
    ),
    compatible(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        &["openai/gpt-oss-120b", "llama-3.1-8b-instant", "openai/gpt-oss-20b", "llama-3.3-70b-versatile"],
    ),
    compatible(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        &["meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"],
    ),
    compatible(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        &["accounts/fireworks/models/deepseek-v3p2", "accounts/fireworks/models/gpt-oss-120b"],
    ),
    compatible(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        &["gpt-oss-120b", "llama3.1-8b"],
    ),
    compatible("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", &["kimi-k2.6", "kimi-k3"]),
    compatible(
        "cohere",
        "https://api.cohere.ai/compatibility/v1",
        "CO_API_KEY",
        &["command-r-08-2024", "command-r7b-12-2024", "command-a-03-2025"],
    ),
];

const fn compatible(
    id: &'static str,
    base_url: &'static str,
    key_env: &'static str,
    starters: &'static [&'static str],
) -> Vendor {
    Vendor { id, format: ProviderFormat::OpenAiCompatible, base_url, key_env, starters }
}

/// The vendor of that id.
pub fn vendor(id: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|v| v.id == id)
}

/// Whose own format it is, and where the vendor's API in this format is.
pub(super) fn owner(format: ProviderFormat) -> Option<(&'static Vendor, &'static str)> {
    let (id, other_url) = match format {
        ProviderFormat::OpenAi => ("openai", None),
        ProviderFormat::Anthropic => ("anthropic", None),
        ProviderFormat::Gemini => ("google", Some("https://generativelanguage.googleapis.com/v1beta")),
        ProviderFormat::Cohere => ("cohere", Some("https://api.cohere.com/v2")),
        ProviderFormat::OpenAiCompatible => return None,
    };
    let vendor = vendor(id)?;
    Some((vendor, other_url.unwrap_or(vendor.base_url)))
}

/// The vendor whose API is at that address.
pub(super) fn vendor_at(base_url: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|v| v.base_url == base_url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::catalog::BuiltInCatalog;

    #[test]
    fn every_starter_is_in_the_catalog() {
        let catalog = BuiltInCatalog::load().unwrap();
        for v in VENDORS {
            assert!(!v.starters.is_empty());
            v.starters.iter().for_each(|s| assert!(catalog.get(v.id, s).is_some(), "{}/{s}", v.id));
        }
    }
}
