//! What there is to route to: arms, their providers, and the routes over them. Immutable: another configuration makes another one, and
//! requests hold theirs to the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ServiceError;
use super::retire::Watch;
use crate::dispatch::{Target, Upstream};
use crate::domain::{Arm, ArmId, Preference, PriceSource, ProviderId, RouteName};
use crate::policy::{Policy, SimplePolicy};
use crate::routing::Route;

/// Who chooses for a route.
#[derive(Debug, Clone)]
pub enum Chooser {
    /// The learner's newest snapshot.
    Learned,
    /// A simple strategy.
    Simple(Arc<dyn Policy>),
    /// A simple strategy over what the learner's newest snapshot expects.
    Estimated(SimpleChooser),
}

/// What the strategies that need estimates go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimpleChooser {
    /// The lowest expected cost.
    Cheapest,
    /// The lowest expected latency.
    Fastest,
}

impl Chooser {
    /// The policy for one request; `learned` is the learner's newest snapshot.
    pub(super) fn policy(&self, learned: Arc<dyn Policy>) -> Arc<dyn Policy> {
        match self {
            Self::Learned => learned,
            Self::Simple(policy) => Arc::clone(policy),
            Self::Estimated(SimpleChooser::Cheapest) => Arc::new(SimplePolicy::cheapest(Some(learned))),
            Self::Estimated(SimpleChooser::Fastest) => Arc::new(SimplePolicy::fastest(Some(learned))),
        }
    }
}

/// A route and what it needs at run time.
#[derive(Debug)]
pub struct LiveRoute {
    /// As configured.
    pub route: Route,
    /// Who chooses.
    pub chooser: Chooser,
    /// What it was asked lately.
    pub watch: Watch,
    turns: AtomicU64,
}

impl LiveRoute {
    /// How many requests were counted.
    pub fn turns_seen(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Counts a request; returns how many came before.
    pub fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a `model` field means.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A route, with the preference its suffix asks for.
    Route(Arc<LiveRoute>, Option<Preference>),
    /// One arm.
    Arm(Arc<Arm>),
}

/// Arms, providers and routes.
pub struct Fleet {
    arms: HashMap<ArmId, Arc<Arm>>,
    upstreams: HashMap<ProviderId, Arc<Upstream>>,
    routes: HashMap<RouteName, Arc<LiveRoute>>,
    draining: BTreeSet<ArmId>,
    prices_from: BTreeMap<ArmId, PriceSource>,
    /// Version of the price table.
    prices: Arc<str>,
}

/// A route or arm that a fleet cannot be built from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// An arm's provider is not there.
    #[error("model {arm} belongs to the provider {provider}, which is not configured")]
    NoProvider {
        /// Which arm.
        arm: ArmId,
        /// Its provider.
        provider: ProviderId,
    },
    /// A route names an arm that is not there.
    #[error("route {route} names the model {arm}, which is not configured")]
    NoArm {
        /// Which route.
        route: RouteName,
        /// Which arm.
        arm: ArmId,
    },
}

impl Fleet {
    /// # Errors
    /// When an arm has no provider or a route names an arm that is not there.
    pub fn new(
        arms: Vec<Arm>,
        upstreams: Vec<Arc<Upstream>>,
        routes: Vec<(Route, Chooser)>,
    ) -> Result<Self, FleetError> {
        let upstreams: HashMap<_, _> = upstreams.into_iter().map(|u| (u.id().clone(), u)).collect();
        let arms: HashMap<_, _> = arms.into_iter().map(|a| (a.id.clone(), Arc::new(a))).collect();
        if let Some(arm) = arms.values().find(|a| !upstreams.contains_key(&a.provider)) {
            return Err(FleetError::NoProvider { arm: arm.id.clone(), provider: arm.provider.clone() });
        }
        for (route, _) in &routes {
            if let Some(arm) = route.arms.iter().chain([&route.default]).find(|a| !arms.contains_key(*a)) {
                return Err(FleetError::NoArm { route: route.name.clone(), arm: arm.clone() });
            }
        }
        let routes = routes
            .into_iter()
            .map(|(route, chooser)| {
                (
                    route.name.clone(),
                    Arc::new(LiveRoute { route, chooser, watch: Watch::default(), turns: AtomicU64::new(0) }),
                )
            })
            .collect();
        Ok(Self {
            arms,
            upstreams,
            routes,
            draining: BTreeSet::new(),
            prices_from: BTreeMap::new(),
            prices: "".into(),
        })
    }

    /// The same, where routes that were not changed since `before` keep what they were asked lately.
    pub fn following(mut self, before: &Self) -> Self {
        for (name, live) in &mut self.routes {
            if let Some(known) = before.routes.get(name).filter(|known| known.route == live.route) {
                *live = Arc::clone(known);
            }
        }
        self
    }

    /// The same, where these arms take no new conversations.
    pub fn draining(mut self, arms: BTreeSet<ArmId>) -> Self {
        self.draining = arms;
        self
    }

    /// The same, knowing who says what each arm costs, and what the whole table of prices is called.
    pub fn priced_by(mut self, sources: BTreeMap<ArmId, PriceSource>, version: &str) -> Self {
        (self.prices_from, self.prices) = (sources, version.into());
        self
    }

    /// What the table of prices is called.
    pub fn prices(&self) -> &Arc<str> {
        &self.prices
    }

    /// Who says what the arm costs; `None`: nobody told.
    pub fn price_source(&self, arm: &ArmId) -> Option<PriceSource> {
        self.prices_from.get(arm).copied()
    }

    /// Whether the arm takes no new conversations.
    pub fn drains(&self, arm: &ArmId) -> bool {
        self.draining.contains(arm)
    }

    /// Reads a request's `model`: a route, a route with a suffix, or an arm.
    ///
    /// # Errors
    /// When nothing has that name.
    pub fn destination(&self, model: &str) -> Result<Destination, ServiceError> {
        if let Some(route) = self.routes.get(model) {
            return Ok(Destination::Route(Arc::clone(route), None));
        }
        if let Some((name, suffix)) = model.rsplit_once(':')
            && let Some(route) = self.routes.get(name)
            && let Some(preference) = suffix_preference(suffix)
        {
            return Ok(Destination::Route(Arc::clone(route), Some(preference)));
        }
        self.arms.get(model).map(|arm| Destination::Arm(Arc::clone(arm))).ok_or_else(|| self.unknown(model))
    }

    fn unknown(&self, model: &str) -> ServiceError {
        let names = self.route_names().into_iter().chain(self.arms().into_iter().map(|a| a.id.to_string()));
        ServiceError::UnknownModel {
            model: model.chars().take(120).collect(),
            known: names.take(12).collect::<Vec<_>>().join(", "),
        }
    }

    /// The arm of that id.
    pub fn arm(&self, id: &ArmId) -> Option<&Arc<Arm>> {
        self.arms.get(id)
    }

    /// All arms by id.
    pub fn arms(&self) -> Vec<&Arc<Arm>> {
        let mut arms: Vec<_> = self.arms.values().collect();
        arms.sort_by(|a, b| a.id.cmp(&b.id));
        arms
    }

    /// All routes by name.
    pub fn routes(&self) -> Vec<&Arc<LiveRoute>> {
        let mut routes: Vec<_> = self.routes.values().collect();
        routes.sort_by(|a, b| a.route.name.cmp(&b.route.name));
        routes
    }

    fn route_names(&self) -> Vec<String> {
        self.routes().iter().map(|r| r.route.name.to_string()).collect()
    }

    /// The arm with its provider, ready to be called.
    pub fn target(&self, id: &ArmId) -> Option<Target> {
        let arm = self.arms.get(id)?;
        let upstream = self.upstreams.get(&arm.provider)?;
        Some(Target { arm: Arc::clone(arm), upstream: Arc::clone(upstream), output_cap: None })
    }

    /// All upstreams.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// The upstream of that provider.
    pub fn upstream(&self, id: &ProviderId) -> Option<&Arc<Upstream>> {
        self.upstreams.get(id)
    }

    /// The upstream that serves `arm`.
    pub fn upstream_of(&self, arm: &Arm) -> Option<&Arc<Upstream>> {
        self.upstreams.get(&arm.provider)
    }
}

fn suffix_preference(suffix: &str) -> Option<Preference> {
    match suffix {
        "best" => Some(Preference::best()),
        "cheap" => Some(Preference::cheap()),
        "fast" => Some(Preference::fast()),
        _ => None,
    }
}
