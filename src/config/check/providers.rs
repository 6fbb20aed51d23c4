//! `[providers.ID]`: formats, addresses, keys and headers.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::Check;
use super::calls::conduct;
use crate::config::raw::RawProvider;
use crate::config::read::{At, Place};
use crate::config::settings::{ProviderFormat, ProviderSettings};
use crate::config::vendors::{Vendor, owner, vendor, vendor_at};
use crate::domain::ProviderId;
use crate::provider::is_link_local_host;

/// A provider as far as its entry is sound.
pub(super) struct Provider {
    /// Whose API it is, when that is known; an entry at fault may still tell it.
    pub(super) vendor: Option<&'static Vendor>,
    /// Whether its format and address are sound; if not, it may be any vendor's.
    pub(super) is_placed: bool,
    settings: Option<ProviderSettings>,
}

/// All declared providers, those at fault too.
pub(super) struct Providers(BTreeMap<String, Provider>);

impl Providers {
    pub(super) fn get(&self, id: &str) -> Option<&Provider> {
        self.0.get(id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn into_settings(self) -> Vec<ProviderSettings> {
        self.0.into_values().filter_map(|p| p.settings).collect()
    }
}

/// Headers that the client itself sets.
const RESERVED: [&str; 8] = [
    "authorization",
    "x-api-key",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "accept-encoding",
];

impl Check<'_> {
    pub(super) fn providers(&self, raw: &[RawProvider]) -> Providers {
        let place = Place::absent("providers");
        if raw.is_empty() && !self.source.has_fault_at("providers") {
            self.source.fault(
                &place,
                "there is no provider; add one, for example `[providers.openai]` with `format = \"openai\"`",
            );
        }
        Providers(raw.iter().map(|p| (p.id.clone(), self.provider(p))).collect())
    }

    fn provider(&self, raw: &RawProvider) -> Provider {
        self.provider_id(raw);
        let format = self.format(raw);
        let base_url = format.and_then(|format| self.base_url(raw, format));
        let at = base_url.as_deref();
        let owned = format.and_then(owner);
        let vendor = owned.map_or_else(|| at.and_then(vendor_at), |(vendor, _)| Some(vendor));
        let own_url = owned.map(|(_, url)| url).or(vendor.map(|v| v.base_url));
        let api_key = self.api_key(raw, vendor.filter(|_| at == own_url));
        let headers = self.headers(&raw.headers);
        let is_placed = base_url.is_some();
        let settings = format.zip(base_url).map(|(format, base_url)| ProviderSettings {
            id: ProviderId::from(raw.id.as_str()),
            format,
            base_url,
            api_key,
            headers,
            auth_header: self.auth_header(raw),
            path: self.path(raw, format),
            query: raw.query.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
            ca_pem: self.authorities(raw),
            allow_link_local: raw.allow_link_local.as_ref().is_some_and(|allow| allow.value),
            limits: self.upstream_limits(raw),
            conduct: conduct(&raw.calls),
        });
        Provider { vendor, is_placed, settings }
    }

    fn provider_id(&self, raw: &RawProvider) {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if raw.id.is_empty() || raw.id.len() > 64 || !raw.id.chars().all(good) {
            self.source.fault(
                &raw.place,
                "a provider's id has 1 to 64 letters, digits, `-`, `_` or `.`; rename this one",
            );
        }
    }

    fn format(&self, raw: &RawProvider) -> Option<ProviderFormat> {
        let advice = "write `format = \"openai\"`, `\"anthropic\"`, `\"gemini\"`, `\"cohere\"`, or `\"openai-compatible\"` with its `base_url`";
        let format = self.required(raw.format.as_ref(), &raw.place, "format", advice)?;
        match format.value.as_str() {
            "openai" => Some(ProviderFormat::OpenAi),
            "openai-compatible" => Some(ProviderFormat::OpenAiCompatible),
            "anthropic" => Some(ProviderFormat::Anthropic),
            "gemini" => Some(ProviderFormat::Gemini),
            "cohere" => Some(ProviderFormat::Cohere),
            other => {
                self.unknown_word(
                    format,
                    other,
                    &["openai", "openai-compatible", "anthropic", "gemini", "cohere"],
                );
                None
            }
        }
    }

    fn base_url(&self, raw: &RawProvider, format: ProviderFormat) -> Option<String> {
        let by_id =
            || vendor(&raw.id).filter(|v| v.format == ProviderFormat::OpenAiCompatible).map(|v| v.base_url);
        let default = owner(format).map(|(_, url)| url).or_else(by_id);
        if let (None, Some(url)) = (&raw.base_url, default)
            && !self.source.has_fault_at(&raw.place.join("base_url").path)
        {
            return Some(url.to_owned());
        }
        let advice = "write where the server is, for example `base_url = \"http://127.0.0.1:11434/v1\"`";
        let url = self.required(raw.base_url.as_ref(), &raw.place, "base_url", advice)?;
        let allows = raw.allow_link_local.as_ref().is_some_and(|allow| allow.value);
        match http_url(&url.value) {
            Ok(clean) if !allows && is_link_local(&clean) => {
                let advice = "leads to a link-local or metadata address, where no model is served; if one is, write `allow_link_local = true`";
                self.source.fault(&url.place, format!("{clean:?} {advice}"));
                None
            }
            Ok(clean) => Some(clean),
            Err(why) => {
                self.source.fault(&url.place, format!("{:?} {why}", url.value));
                None
            }
        }
    }

    /// The key; a vendor's own API wants one, so there its customary variable is read when none is named.
    fn api_key(&self, raw: &RawProvider, vendors_own: Option<&Vendor>) -> Option<SecretString> {
        let place = raw.place.join("api_key_env");
        let named = raw.api_key_env.clone();
        let bad = named.is_none() && self.source.has_fault_at(&place.path);
        let custom = vendors_own.filter(|_| !bad).map(|v| At { value: v.key_env.to_owned(), place });
        let variable = named.or(custom)?;
        let key = self.secret(&variable.value);
        if key.is_none() {
            let message = format!(
                "the environment variable {} is not set; export it, or remove the provider",
                variable.value
            );
            self.source.fault(&variable.place, message);
        }
        key.map(SecretString::from)
    }

    fn headers(&self, raw: &[(String, At<String>)]) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, value) in raw {
            let lower = name.to_ascii_lowercase();
            if http::HeaderName::try_from(&lower).is_err() {
                self.source.fault(&value.place, "is no header name; use letters, digits and `-`");
            } else if RESERVED.contains(&lower.as_str()) {
                self.source.fault(&value.place, "is set by the client itself; keys go through `api_key_env`");
            } else if http::HeaderValue::try_from(&value.value).is_err() {
                self.source.fault(&value.place, "the value holds characters that no header may hold");
            } else if headers.iter().any(|(known, _)| *known == lower) {
                self.source.fault(&value.place, "stands twice; remove one");
            } else {
                headers.push((lower, value.value.clone()));
            }
        }
        headers
    }
}

impl Check<'_> {
    /// The header that carries the key, where it is not the format's own.
    fn auth_header(&self, raw: &RawProvider) -> Option<String> {
        let given = raw.auth_header.as_ref()?;
        let lower = given.value.to_ascii_lowercase();
        let is_ours =
            RESERVED.contains(&lower.as_str()) && !matches!(lower.as_str(), "authorization" | "x-api-key");
        if http::HeaderName::try_from(&lower).is_err() || is_ours {
            self.source
                .fault(&given.place, "is no header that may carry a key; write for example \"api-key\"");
            return None;
        }
        Some(lower)
    }
}

impl Check<'_> {
    /// Where calls go, when that is not the format's own path.
    fn path(&self, raw: &RawProvider, format: ProviderFormat) -> Option<String> {
        let given = raw.path.as_ref()?;
        let fault = |message: &str| {
            self.source.fault(&given.place, message);
            None
        };
        if !matches!(format, ProviderFormat::OpenAi | ProviderFormat::OpenAiCompatible) {
            return fault(
                "is for the formats openai and openai-compatible; the others have a path of their own",
            );
        }
        let path = given.value.trim_matches('/');
        let filled = path.replace("{model}", "m");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:@!$&'()*+,;=%".contains(c);
        if filled.is_empty() || !filled.chars().all(is_plain) {
            return fault(
                "must be a path below `base_url`, for example \"openai/deployments/{model}/chat/completions\"; what stands after `?` goes into `query`",
            );
        }
        if filled.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return fault("has a part that is empty or dots alone");
        }
        Some(path.to_owned())
    }
}

fn is_link_local(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(is_link_local_host))
}

/// The address without a slash at its end.
fn http_url(text: &str) -> Result<String, &'static str> {
    let uri: http::Uri = text.parse().map_err(|_| "is no URL; write for example \"https://host/v1\"")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("must start with http:// or https://");
    }
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    if authority.contains('@') {
        return Err("holds credentials; keys go through `api_key_env`");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(
            "must end with its path: remove the part from `?` or `#` on; what stands after `?` goes into `query`",
        );
    }
    if authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && uri.port_u16().is_none()) {
        return Err("has a port that is none");
    }
    Ok(text.trim_end_matches('/').to_owned())
}
