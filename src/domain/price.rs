//! What calls cost.

use serde::{Deserialize, Serialize};

use super::Usage;

/// List price in USD per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Input tokens that were neither read from the provider's cache nor written to it.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Input tokens read from the provider's cache; `None`: charged as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// Input tokens written to the provider's cache; `None`: charged as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
    /// Output tokens spent on reasoning; `None`: charged as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<f64>,
    /// What holds instead for calls with a long input, output included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<LongPrice>,
}

/// The price of calls with a long input, in USD per million tokens; all tokens of the call have it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LongPrice {
    /// It holds for more input tokens than this.
    pub above: u32,
    /// As of [`Price`].
    pub input: f64,
    /// As of [`Price`].
    pub output: f64,
    /// As of [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<f64>,
    /// As of [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
    /// As of [`Price`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<f64>,
}

impl Price {
    /// One that depends on nothing but the direction of the tokens.
    pub const fn flat(input: f64, output: f64) -> Self {
        Self { input, output, cached_input: None, cache_write: None, reasoning: None, long: None }
    }

    /// What holds for calls of so many input tokens.
    pub fn at(&self, input_tokens: f64) -> Self {
        match self.long {
            Some(long) if input_tokens > f64::from(long.above) => Self {
                input: long.input,
                output: long.output,
                cached_input: long.cached_input,
                cache_write: long.cache_write,
                reasoning: long.reasoning,
                long: None,
            },
            _ => *self,
        }
    }

    /// What a call with this usage costs, in USD. Each token is charged once: the cache's are part of the input, reasoning is part of
    /// the output.
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        let price = self.at(usage.input_tokens.into());
        let read = usage.cached_tokens.min(usage.input_tokens);
        let written = usage.cache_write_tokens.min(usage.input_tokens - read);
        let thought = usage.reasoning_tokens.min(usage.output_tokens);
        let micro_usd = f64::from(usage.input_tokens - read - written) * price.input
            + f64::from(read) * price.cached_input.unwrap_or(price.input)
            + f64::from(written) * price.cache_write.unwrap_or(price.input)
            + f64::from(usage.output_tokens - thought) * price.output
            + f64::from(thought) * price.reasoning.unwrap_or(price.output);
        micro_usd / 1e6
    }

    /// The dearest that an output token may be, of calls of so many input tokens.
    pub fn dearest_output(&self, input_tokens: f64) -> f64 {
        let price = self.at(input_tokens);
        price.reasoning.unwrap_or(0.0).max(price.output)
    }

    /// The dearest that an input token may be, of calls of so many.
    pub fn dearest_input(&self, input_tokens: f64) -> f64 {
        let price = self.at(input_tokens);
        price.cache_write.unwrap_or(0.0).max(price.input)
    }

    /// What a call costs less, in USD, when `tokens` of its input are read from the provider's cache.
    pub fn cache_saving_usd(&self, tokens: f64) -> f64 {
        tokens * (self.input - self.cached_input.unwrap_or(self.input)).max(0.0) / 1e6
    }

    /// USD per million tokens, three parts input to one part output: by what arms are compared.
    pub fn blended(&self) -> f64 {
        (3.0 * self.input + self.output) / 4.0
    }

    /// Finite and not negative in every component.
    pub fn is_valid(&self) -> bool {
        let own = [self.input, self.output];
        let special = [self.cached_input, self.cache_write, self.reasoning];
        let long = self.long.is_none_or(|long| self.at(f64::from(long.above) + 1.0).is_valid());
        long && own.into_iter().chain(special.into_iter().flatten()).all(|p| p.is_finite() && p >= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price {
        cached_input: Some(0.5),
        cache_write: Some(2.5),
        reasoning: Some(20.0),
        long: Some(LongPrice {
            above: 1000,
            input: 4.0,
            output: 15.0,
            cached_input: Some(1.0),
            cache_write: Some(5.0),
            reasoning: None,
        }),
        ..Price::flat(2.0, 10.0)
    };

    fn micro_usd(price: Price, usage: [u32; 5]) -> f64 {
        let [input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens] = usage;
        let usage =
            Usage { input_tokens, output_tokens, cached_tokens, reasoning_tokens, cache_write_tokens };
        (price.cost_usd(&usage) * 1e6).round()
    }

    #[test]
    fn every_kind_of_token_is_charged_once_at_its_own_price() {
        assert_eq!(micro_usd(PRICE, [1000, 400, 100, 50, 20]), 1000.0 + 200.0 + 250.0 + 300.0 + 400.0);
        assert_eq!(micro_usd(Price::flat(2.0, 10.0), [1000, 400, 100, 50, 20]), 2500.0, "else as the rest");
        assert_eq!(micro_usd(PRICE, [10, 400, 100, 5, 20]), 5.0 + 100.0, "never more than there are");
    }

    #[test]
    fn a_long_input_makes_the_whole_call_dearer() {
        assert_eq!(micro_usd(PRICE, [1001, 1, 0, 10, 4]), 4000.0 + 1.0 + 150.0);
        assert_eq!(micro_usd(PRICE, [1000, 0, 0, 10, 0]), 2100.0, "above, not at");
        assert_eq!((PRICE.dearest_input(1e6), PRICE.dearest_output(1.0)), (5.0, 20.0));
    }

    #[test]
    fn a_price_is_sound_in_all_its_parts() {
        assert!(PRICE.is_valid());
        assert!(!Price { reasoning: Some(-1.0), ..PRICE }.is_valid());
        let long = LongPrice { output: f64::NAN, ..PRICE.long.unwrap() };
        assert!(!Price { long: Some(long), ..PRICE }.is_valid());
    }
}
