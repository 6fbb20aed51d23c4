//! Names that may be labels: those of the configuration. Whatever else is named counts as `other`, so clients make no new series.

use std::collections::BTreeSet;

use arc_swap::ArcSwap;

use super::{Metrics, NONE};
use crate::domain::{ArmId, RouteName};

/// Label value for a name that is not configured.
const OTHER: &str = "other";

#[derive(Debug, Default)]
struct Names {
    routes: BTreeSet<String>,
    arms: BTreeSet<String>,
}

/// The names of the configuration in force.
#[derive(Debug)]
pub(super) struct Known(ArcSwap<Names>);

impl Known {
    pub(super) fn new<'a>(
        routes: impl IntoIterator<Item = &'a RouteName>,
        arms: impl IntoIterator<Item = &'a ArmId>,
    ) -> Self {
        Self(ArcSwap::from_pointee(names(routes, arms)))
    }

    /// The label of what was asked for, a route or an arm.
    pub(super) fn route(&self, name: Option<&str>) -> String {
        let known = self.0.load();
        match name {
            None => NONE.to_owned(),
            Some(name) if known.routes.contains(name) || known.arms.contains(name) => name.to_owned(),
            Some(_) => OTHER.to_owned(),
        }
    }

    /// The label of an arm.
    pub(super) fn arm(&self, arm: &ArmId) -> String {
        if self.0.load().arms.contains(arm.as_str()) { arm.to_string() } else { OTHER.to_owned() }
    }
}

impl Metrics {
    /// Takes over the names of another configuration.
    pub fn know<'a>(
        &self,
        routes: impl IntoIterator<Item = &'a RouteName>,
        arms: impl IntoIterator<Item = &'a ArmId>,
    ) {
        self.known.0.store(names(routes, arms).into());
    }
}

fn names<'a>(
    routes: impl IntoIterator<Item = &'a RouteName>,
    arms: impl IntoIterator<Item = &'a ArmId>,
) -> Names {
    Names {
        routes: routes.into_iter().map(ToString::to_string).collect(),
        arms: arms.into_iter().map(ToString::to_string).collect(),
    }
}
