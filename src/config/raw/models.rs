//! `[models.ID]`: an arm, its price, and what it starts from.

use crate::config::read::{At, Place, Section};

pub(in crate::config) struct RawPrice {
    pub(in crate::config) place: Place,
    pub(in crate::config) input: Option<At<f64>>,
    pub(in crate::config) output: Option<At<f64>>,
    pub(in crate::config) cached_input: Option<At<f64>>,
    pub(in crate::config) cache_write: Option<At<f64>>,
    pub(in crate::config) reasoning: Option<At<f64>>,
    pub(in crate::config) long: Option<Box<RawLongPrice>>,
}

/// The price of calls with a long input.
pub(in crate::config) struct RawLongPrice {
    pub(in crate::config) above: Option<At<u64>>,
    pub(in crate::config) price: RawPrice,
}

impl RawPrice {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| {
            let mut long = keys.section("long");
            let raw_long = long.is_present().then(|| {
                let above = long.whole("above", 1, u64::from(u32::MAX));
                Box::new(RawLongPrice { above, price: Self::parts(&mut long, None) })
            });
            long.finish();
            Self::parts(&mut keys, raw_long)
        });
        keys.finish();
        raw
    }

    fn parts(keys: &mut Section<'_>, long: Option<Box<RawLongPrice>>) -> Self {
        Self {
            place: keys.place().clone(),
            input: keys.number("input"),
            output: keys.number("output"),
            cached_input: keys.number("cached_input"),
            cache_write: keys.number("cache_write"),
            reasoning: keys.number("reasoning"),
            long,
        }
    }
}

pub(in crate::config) struct RawPrior {
    pub(in crate::config) place: Place,
    pub(in crate::config) sheet: Option<At<String>>,
    pub(in crate::config) like: Option<At<String>>,
    pub(in crate::config) price: Option<At<bool>>,
}

impl RawPrior {
    fn read(mut keys: Section<'_>) -> Option<Self> {
        let raw = keys.is_present().then(|| Self {
            place: keys.place().clone(),
            sheet: keys.text("sheet"),
            like: keys.text("like"),
            price: keys.flag("price"),
        });
        keys.finish();
        raw
    }
}

pub(in crate::config) struct RawModel {
    pub(in crate::config) id: String,
    pub(in crate::config) place: Place,
    pub(in crate::config) provider: Option<At<String>>,
    pub(in crate::config) model: Option<At<String>>,
    pub(in crate::config) price: Option<RawPrice>,
    pub(in crate::config) context_window: Option<At<u64>>,
    pub(in crate::config) max_output: Option<At<u64>>,
    pub(in crate::config) capabilities: Option<At<Vec<At<String>>>>,
    pub(in crate::config) tier: Option<At<String>>,
    pub(in crate::config) prior: Option<RawPrior>,
    pub(in crate::config) drain: Option<At<bool>>,
}

impl RawModel {
    pub(super) fn read((id, mut keys): (String, Section<'_>)) -> Self {
        let raw = Self {
            id,
            place: keys.place().clone(),
            provider: keys.text("provider"),
            model: keys.text("model"),
            price: RawPrice::read(keys.section("price")),
            context_window: keys.whole("context_window", 1, u64::from(u32::MAX)),
            max_output: keys.whole("max_output", 1, u64::from(u32::MAX)),
            capabilities: keys.texts("capabilities"),
            tier: keys.text("tier"),
            prior: RawPrior::read(keys.section("prior")),
            drain: keys.flag("drain"),
        };
        keys.finish();
        raw
    }
}
