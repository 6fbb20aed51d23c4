//! `[models."ID"]`: the arms, with what the built-in catalog adds to them.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::Check;
use super::providers::{Provider, Providers};
use crate::config::catalog::CatalogModel;
use crate::config::raw::{RawLongPrice, RawModel, RawPrice};
use crate::config::read::At;
use crate::config::suggest::or_else;
use crate::domain::{
    Arm, ArmId, Capability, CapabilitySet, Catalog, Limits, LongPrice, Price, PriceSource, ProviderId, hex,
};

/// Window of a model that neither the file nor the catalog tells: small enough for what runs locally.
const UNKNOWN_CONTEXT_WINDOW: u32 = 8192;

/// All arms, and the names of those at fault.
pub(super) struct Arms<'c> {
    check: &'c Check<'c>,
    providers: &'c Providers,
    /// Every `[models]` key, in the order of the file, those at fault too.
    declared: Vec<String>,
    sound: BTreeMap<ArmId, (Arm, PriceSource)>,
}

impl<'c> Arms<'c> {
    pub(super) fn check(check: &'c Check<'c>, raw: &[RawModel], providers: &'c Providers) -> Self {
        let mut arms = Self { check, providers, declared: Vec::new(), sound: BTreeMap::new() };
        let mut sold: BTreeMap<(String, String), String> = BTreeMap::new();
        for model in raw {
            arms.declared.push(model.id.clone());
            let Some((arm, source)) = check.arm(model, providers) else { continue };
            let key = (arm.provider.to_string(), arm.model.clone());
            if let Some(first) = sold.insert(key, model.id.clone()) {
                let message =
                    format!("is the same model of the same provider as `{first}`; remove one of them");
                check.source.fault(&model.place, message);
            }
            arms.sound.insert(arm.id.clone(), (arm, source));
        }
        arms
    }

    /// Every declared id, in the order of the file.
    pub(super) fn declared(&self) -> &[String] {
        &self.declared
    }

    /// Whether `id` names an arm: a declared one, or `provider/model` of a configured provider whose price the catalog knows.
    pub(super) fn has(&self, id: &str) -> bool {
        self.declared.iter().any(|d| d == id) || self.sound.contains_key(id)
    }

    /// Makes sure that there is an arm of that name; without one it is a fault.
    pub(super) fn resolve(&mut self, id: &At<String>) -> bool {
        if self.has(&id.value) {
            return true;
        }
        match self.listed_arm(&id.value) {
            Ok(arm) => {
                self.sound.insert(arm.id.clone(), (arm, PriceSource::Catalog));
                true
            }
            Err(message) => {
                self.check.source.fault(&id.place, message);
                false
            }
        }
    }

    fn listed_arm(&self, id: &str) -> Result<Arm, String> {
        let unknown = |advice: &str| {
            let known = self.declared.iter().map(String::as_str);
            format!("there is no model `{id}`{}", or_else(id, known, advice))
        };
        let add = format!("add `[models.{id:?}]`");
        let (provider, name) = id.split_once('/').ok_or_else(|| unknown(&add))?;
        let configured = self.providers.get(provider).ok_or_else(|| {
            unknown(&format!("{add}, or `[providers.{provider}]` for a model of the built-in catalog"))
        })?;
        let vendor = configured.vendor.map_or("", |v| v.id);
        let model = self.check.catalog.get(vendor, name).ok_or_else(|| unknown(&add))?;
        let (provider, limits) = (ProviderId::from(provider), model.limits());
        let (price, capabilities) = (model.price, model.capabilities());
        Ok(Arm { id: ArmId::from(id), provider, model: name.to_owned(), price, limits, capabilities })
    }

    /// The catalog, versioned by its content, and who says what each arm costs.
    pub(super) fn into_catalog(self) -> (Catalog, BTreeMap<ArmId, PriceSource>) {
        let sources = self.sound.iter().map(|(id, (_, source))| (id.clone(), *source)).collect();
        let arms: Vec<Arm> = self.sound.into_values().map(|(arm, _)| arm).collect();
        let mut digest = Sha256::new();
        arms.iter().for_each(|arm| digest.update(format!("{arm:?}\n")));
        let short = hex(&digest.finalize()[..6]);
        (Catalog::new(format!("{}+{short}", self.check.catalog.version), arms), sources)
    }
}

impl Check<'_> {
    fn arm(&self, raw: &RawModel, providers: &Providers) -> Option<(Arm, PriceSource)> {
        self.arm_id(raw);
        let provider = self.model_provider(raw, providers);
        let advice = "write the name that the provider's API uses, for example `model = \"gpt-5-mini\"`";
        let name = self.required(raw.model.as_ref(), &raw.place, "model", advice);
        let name = name.filter(|name| self.is_named(name));
        let listed = provider.zip(name).and_then(|((_, p), name)| self.listed(p, &name.value));
        let price = self.price(raw, listed, provider.map(|(_, p)| p).filter(|_| name.is_some()));
        let limits = self.limits(raw, listed);
        let capabilities = self.capabilities(raw, listed);
        let (price, source) = price?;
        let arm = Arm {
            id: ArmId::from(raw.id.as_str()),
            provider: ProviderId::from(provider?.0),
            model: name?.value.clone(),
            price,
            limits,
            capabilities,
        };
        Some((arm, source))
    }

    fn listed(&self, provider: &Provider, name: &str) -> Option<&CatalogModel> {
        self.catalog.get(provider.vendor?.id, name)
    }

    fn is_named(&self, name: &At<String>) -> bool {
        let is_empty = name.value.trim().is_empty();
        if is_empty {
            self.source.fault(&name.place, "is empty; write the name that the provider's API uses");
        }
        !is_empty
    }

    fn arm_id(&self, raw: &RawModel) {
        let bad = |c: char| c.is_whitespace() || c.is_control() || "*?[]{}!,\\".contains(c);
        if raw.id.is_empty() || raw.id.len() > 200 || raw.id.contains(bad) {
            self.source.fault(
                &raw.place,
                "a model's id has 1 to 200 characters without spaces and none of `*?[]{}!,\\`; rename it, for example \"openai/gpt-5-mini\"",
            );
        }
    }

    fn model_provider<'v>(
        &self,
        raw: &'v RawModel,
        providers: &'v Providers,
    ) -> Option<(&'v str, &'v Provider)> {
        let advice = "name one of the `[providers]`";
        let provider = self.required(raw.provider.as_ref(), &raw.place, "provider", advice)?;
        let found = providers.get(&provider.value);
        if found.is_none() {
            let add = format!("add `[providers.{}]`", provider.value);
            let advice = or_else(&provider.value, providers.ids(), &add);
            let message = format!("there is no provider `{}`{advice}", provider.value);
            self.source.fault(&provider.place, message);
        }
        found.map(|found| (provider.value.as_str(), found))
    }

    /// The price as written, else as listed; neither is a fault once we know where to look.
    fn price(
        &self,
        raw: &RawModel,
        listed: Option<&CatalogModel>,
        provider: Option<&Provider>,
    ) -> Option<(Price, PriceSource)> {
        let own = raw.place.join("price");
        if let Some(price) = &raw.price {
            return self.written_price(price).map(|price| (price, PriceSource::Config));
        }
        if listed.is_none() && provider.is_some_and(|p| p.is_placed) && !self.source.has_fault_at(&own.path) {
            self.source.fault(
                &own,
                "the price of this model is not known, and unknown is never zero; \
                 write `price = { input = 0.5, output = 1.5 }` in USD per million tokens (0.0 for a model that is free)",
            );
        }
        listed.map(|model| (model.price, PriceSource::Catalog))
    }

    fn written_price(&self, raw: &RawPrice) -> Option<Price> {
        let advice = "write it in USD per million tokens";
        let input = self.required(raw.input.as_ref(), &raw.place, "input", advice);
        let output = self.required(raw.output.as_ref(), &raw.place, "output", advice);
        let special = [&raw.cached_input, &raw.cache_write, &raw.reasoning].map(Option::as_ref);
        let mut is_sound = true;
        for part in [input, output].into_iter().chain(special).flatten() {
            if !part.value.is_finite() || part.value < 0.0 {
                let message =
                    format!("must be a finite number >= 0 (USD per million tokens), got {}", part.value);
                self.source.fault(&part.place, message);
                is_sound = false;
            }
        }
        let long = raw.long.as_ref().map(|long| self.long_price(long));
        let [cached_input, cache_write, reasoning] = special.map(|part| part.map(|p| p.value));
        let (input, output) = (input?.value, output?.value);
        let price = Price { cached_input, cache_write, reasoning, ..Price::flat(input, output) };
        match long {
            Some(long) => is_sound.then_some(Price { long: Some(long?), ..price }),
            None => is_sound.then_some(price),
        }
    }

    fn long_price(&self, raw: &RawLongPrice) -> Option<LongPrice> {
        let advice =
            "write the number of input tokens beyond which the price holds, for example `above = 200000`";
        let above = self.required(raw.above.as_ref(), &raw.price.place, "above", advice);
        let Price { input, output, cached_input, cache_write, reasoning, .. } =
            self.written_price(&raw.price)?;
        let above = u32::try_from(above?.value).ok()?;
        Some(LongPrice { above, input, output, cached_input, cache_write, reasoning })
    }

    fn limits(&self, raw: &RawModel, listed: Option<&CatalogModel>) -> Limits {
        let tokens = |at: &Option<At<u64>>| at.as_ref().and_then(|v| u32::try_from(v.value).ok());
        let window = tokens(&raw.context_window).or(listed.map(|m| m.context_window));
        let context_window = window.unwrap_or(UNKNOWN_CONTEXT_WINDOW);
        let listed_output = listed.and_then(|m| m.max_output).filter(|o| *o <= context_window);
        if let Some(longest) = raw.max_output.as_ref().filter(|o| o.value > u64::from(context_window)) {
            let message = format!("{} is more than the context window of {context_window}", longest.value);
            self.source.fault(&longest.place, message);
        }
        Limits { context_window, max_output: tokens(&raw.max_output).or(listed_output) }
    }

    fn capabilities(&self, raw: &RawModel, listed: Option<&CatalogModel>) -> CapabilitySet {
        let Some(written) = &raw.capabilities else {
            return listed.map(CatalogModel::capabilities).unwrap_or_default();
        };
        let known = Capability::ALL.map(Capability::as_str);
        let mut set = CapabilitySet::default();
        for word in &written.value {
            match Capability::ALL.into_iter().find(|c| c.as_str() == word.value) {
                Some(capability) => set.insert(capability),
                None => self.unknown_word(word, &word.value, &known),
            }
        }
        set
    }
}

/// The first name that stands twice.
pub(super) fn twice(names: &[At<String>]) -> Option<&At<String>> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(name.value.as_str()))
}
