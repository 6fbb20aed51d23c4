//! What a caller wishes, gathered from the body's extension, the headers and the route. The body wins over headers, both over
//! the route.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CacheControl, Meter, ServiceError};
use crate::domain::{Constraints, KeyId, Preference, RouteName, Weights};
use crate::routing::{ArmPatterns, Route};
use crate::wire::chat::Extension;

/// Most tags on one request, and most bytes of each text that a caller may attach.
const MOST_TAGS: usize = 32;
const LONGEST_TEXT: usize = 256;

/// Who asks, and what its headers say; `http` fills it in.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Whose key; `None` without keys.
    pub key: Option<KeyId>,
    /// Routes that the key may ask for; `None`: all.
    pub routes: Option<Arc<[RouteName]>>,
    /// Counts the tokens that the key uses; `None`: nobody does.
    pub meter: Option<Arc<Meter>>,
    /// From `Cache-Control`.
    pub cache: CacheControl,
    /// From `x-session-id` and its like.
    pub session: Option<String>,
    /// From `x-pointsman-weights`.
    pub weights: Option<Weights>,
    /// From `x-pointsman-max-cost-usd`.
    pub max_cost_usd: Option<f64>,
    /// From `x-pointsman-tags`.
    pub tags: BTreeMap<String, String>,
}

/// The wishes that hold for one request.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// How quality, cost and latency weigh.
    pub preference: Preference,
    /// What must hold.
    pub constraints: Constraints,
    /// Which arms may serve.
    pub patterns: Option<ArmPatterns>,
    /// Which conversation.
    pub session: Option<String>,
    /// Which of the caller's users.
    pub user: Option<String>,
    /// For rules and reports.
    pub tags: BTreeMap<String, String>,
    /// Which named budget pays, besides those of the route and the key.
    pub budget: Option<String>,
}

impl Wishes {
    /// Reads the extension over the headers over the route; `suffix` is what `auto:cheap` and its like ask for.
    ///
    /// # Errors
    /// When a value is out of range, a pattern is no glob, a text is too long, or a wish cannot be honoured.
    pub fn gather(
        extension: &Extension,
        caller: &Caller,
        route: Option<&Route>,
        suffix: Option<Preference>,
    ) -> Result<Self, ServiceError> {
        let header = caller.weights.map(Preference::Weights);
        let on_route = || suffix.or(route.map(|r| r.preference)).unwrap_or_else(Preference::balanced);
        let wishes = Self {
            preference: extension.preference.or(header).unwrap_or_else(on_route),
            constraints: constraints(
                &extension.constraints,
                caller,
                route.map(|r| r.constraints).unwrap_or_default(),
            )?,
            patterns: patterns(extension)?,
            session: extension.session_id.clone().or_else(|| caller.session.clone()),
            user: extension.user.clone(),
            budget: extension.budget.clone(),
            tags: caller.tags.iter().chain(&extension.tags).map(|(k, v)| (k.clone(), v.clone())).collect(),
        };
        wishes.within_bounds()?;
        Ok(wishes)
    }

    fn within_bounds(&self) -> Result<(), ServiceError> {
        let long = |text: &str| text.len() > LONGEST_TEXT;
        let must = || format!("must be at most {LONGEST_TEXT} bytes long");
        if self.session.as_deref().is_some_and(long) {
            return Err(ServiceError::invalid("pointsman.session_id", must()));
        }
        if self.user.as_deref().is_some_and(long) {
            return Err(ServiceError::invalid("pointsman.user", must()));
        }
        if self.tags.len() > MOST_TAGS {
            return Err(ServiceError::invalid("pointsman.tags", format!("must be at most {MOST_TAGS} tags")));
        }
        if let Some((tag, _)) = self.tags.iter().find(|(k, v)| long(k) || long(v)) {
            let start: String = tag.chars().take(40).collect();
            return Err(ServiceError::invalid(format!("pointsman.tags.{start}"), must()));
        }
        Ok(())
    }
}

fn constraints(own: &Constraints, caller: &Caller, route: Constraints) -> Result<Constraints, ServiceError> {
    let merged = Constraints {
        max_cost_usd: own.max_cost_usd.or(caller.max_cost_usd).or(route.max_cost_usd),
        max_latency_ms: own.max_latency_ms.or(route.max_latency_ms),
        min_quality: own.min_quality.or(route.min_quality),
    };
    // Only the header can be at fault here: the body and the route have been checked.
    merged.checked().map_err(|e| {
        ServiceError::invalid("x-pointsman-max-cost-usd", format!("must be {}, got {}", e.must, e.got))
    })
}

fn patterns(extension: &Extension) -> Result<Option<ArmPatterns>, ServiceError> {
    if extension.models.is_empty() {
        return Ok(None);
    }
    ArmPatterns::new(&extension.models).map(Some).map_err(|e| ServiceError::invalid("pointsman.models", e))
}
