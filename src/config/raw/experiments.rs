//! `[experiments.NAME]`

use crate::config::read::{At, Place, Section};

pub(in crate::config) struct RawExperiment {
    pub(in crate::config) name: String,
    pub(in crate::config) place: Place,
    pub(in crate::config) route: Option<At<String>>,
    pub(in crate::config) challenger: RawChallenger,
    pub(in crate::config) share: Option<At<String>>,
    pub(in crate::config) guards: Vec<(String, At<f64>)>,
}

impl RawExperiment {
    pub(super) fn read((name, mut keys): (String, Section<'_>)) -> Self {
        let raw = Self {
            name,
            place: keys.place().clone(),
            route: keys.text("route"),
            challenger: RawChallenger::read(keys.section("challenger")),
            share: keys.text("share"),
            guards: keys.named_numbers("guards"),
        };
        keys.finish();
        raw
    }
}

pub(in crate::config) struct RawChallenger {
    pub(in crate::config) place: Place,
    pub(in crate::config) strategy: Option<At<String>>,
    pub(in crate::config) policy: Option<At<String>>,
}

impl RawChallenger {
    fn read(mut keys: Section<'_>) -> Self {
        let raw = Self {
            place: keys.place().clone(),
            strategy: keys.text("strategy"),
            policy: keys.text("policy"),
        };
        keys.finish();
        raw
    }
}
