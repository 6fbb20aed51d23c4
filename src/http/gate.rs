//! What every request passes on the way to its handler, from the outside in: its id and the count of its answer, the net under panics,
//! the bounds on requests, the keys. One function for all paths, so no path can be without; and no layers, each of which would copy the
//! rest of the stack for every request.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::error::{self, HttpError};
use super::headers::Watch;
use super::{Api, auth, limits, messages, rates};
use crate::service::ServiceError;
use crate::telemetry::Shed;

/// All paths behind all checks.
pub struct Gate {
    api: Api,
    paths: TowerToHyperService<Router>,
}

impl Gate {
    /// `paths`, each of them behind the gate.
    pub(super) fn around(paths: Router, api: Api) -> Self {
        Self { api, paths: TowerToHyperService::new(paths) }
    }

    /// The answer to a request. It always has one.
    pub async fn answer(&self, request: Request) -> Response {
        let watch = Watch::begin(&request);
        let is_messages = messages::is_ours(request.uri().path());
        let response = match AssertUnwindSafe(self.let_in(request)).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => error::panicked(panic),
        };
        let response = watch.end(&self.api, response);
        if is_messages { messages::in_its_shape(response) } else { response }
    }

    async fn let_in(&self, request: Request) -> Response {
        self.admitted(request).await.unwrap_or_else(IntoResponse::into_response)
    }

    async fn admitted(&self, mut request: Request) -> Result<Response, HttpError> {
        let api = &self.api;
        let is_shed = limits::is_shed(&request);
        let place = is_shed.then(|| limits::of_all(api)).transpose()?;
        let mut caller = auth::admit(api, &request)?;
        let Some(key) = caller.key.clone().filter(|_| is_shed) else {
            request.extensions_mut().insert(caller);
            return Ok(limits::holding(self.serve(request).await, place));
        };
        let own = limits::of_key(api, &key.id)?;
        let meter = rates::meter(api, &key, &request);
        let denied = meter.as_ref().and_then(|meter| meter.request().err());
        caller.meter.clone_from(&meter);
        request.extensions_mut().insert(caller);
        let mut response = match denied {
            None => self.serve(request).await,
            Some(denied) => {
                api.service().metrics.shed(Shed::Rate);
                HttpError::from(ServiceError::from(denied)).into_response()
            }
        };
        if let Some(meter) = &meter {
            rates::tell(meter, &mut response);
        }
        Ok(limits::holding(response, (place, own)))
    }

    async fn serve(&self, request: Request) -> Response {
        match self.paths.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
