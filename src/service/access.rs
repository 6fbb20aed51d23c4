//! Which routes a caller's key may ask for; the encoder counts as one. A model by name is allowed where some allowed route has it among its candidates.

use super::{Caller, Destination, LiveRoute, Service, ServiceError};
use crate::domain::{ArmId, RouteName};

impl Caller {
    /// Whether the key may ask for the route.
    pub(super) fn may_ask(&self, route: &RouteName) -> bool {
        self.routes.as_ref().is_none_or(|allowed| allowed.contains(route))
    }
}

impl Service {
    /// The routes that the caller may ask for, by name.
    pub fn routes_of(&self, caller: &Caller) -> Vec<&LiveRoute> {
        let routes = self.fleet.routes().into_iter().map(AsRef::as_ref);
        routes.filter(|live: &&LiveRoute| caller.may_ask(&live.route.name)).collect()
    }

    /// Whether the caller may ask for the model by name.
    pub fn may_name(&self, caller: &Caller, arm: &ArmId) -> bool {
        caller.routes.is_none() || self.routes_of(caller).iter().any(|live| live.route.arms.contains(arm))
    }

    /// What `model` means to the caller; `param` is the field that names it.
    ///
    /// # Errors
    /// When nothing has that name, or the caller's key may not ask for it.
    pub fn destination_of(
        &self,
        model: &str,
        caller: &Caller,
        param: &'static str,
    ) -> Result<Destination, ServiceError> {
        let found = self.fleet.destination(model).map_err(|error| self.within_sight(error, caller))?;
        let may = match &found {
            Destination::Route(live, _) => caller.may_ask(&live.route.name),
            Destination::Arm(arm) => self.may_name(caller, &arm.id),
        };
        let shown = || model.chars().take(120).collect();
        may.then_some(found).ok_or_else(|| ServiceError::NotAllowed { param, model: shown() })
    }

    /// The names that an error lists are those that the caller may ask for.
    fn within_sight(&self, error: ServiceError, caller: &Caller) -> ServiceError {
        match error {
            ServiceError::UnknownModel { model, .. } if caller.routes.is_some() => {
                let names = self.routes_of(caller).into_iter().map(|live| live.route.name.to_string());
                ServiceError::UnknownModel { model, known: names.take(12).collect::<Vec<_>>().join(", ") }
            }
            other => other,
        }
    }
}
