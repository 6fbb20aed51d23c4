//! Shapes of client keys.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// What is to hold of a key; `null` takes a limit away.
#[derive(ToSchema)]
#[schema(as = KeyOrder)]
pub(in crate::http) struct KeyBody {
    name: Option<String>,
    /// Some of `infer`, `feedback`, `read`, `admin`; of a new key the first three.
    scopes: Option<Vec<String>>,
    /// When it ends, for example `2027-01-31T12:00:00Z`.
    #[schema(nullable)]
    expires: Option<String>,
    /// The same in days from now.
    expires_in_days: Option<u16>,
    /// Routes that it may ask for, and models by name that are on one of them; without it all.
    #[schema(nullable)]
    routes: Option<Vec<String>>,
    /// Requests per minute.
    #[schema(nullable, minimum = 1)]
    rpm: Option<u32>,
    /// Tokens per minute, input and output together.
    #[schema(nullable, minimum = 1)]
    tpm: Option<u32>,
    /// `usd_per_request`, `usd_per_hour`, `usd_per_day`, `usd_per_month`.
    #[schema(nullable)]
    budget: Option<BTreeMap<String, f64>>,
}

/// A key; never its text.
#[derive(ToSchema)]
#[schema(as = Key)]
pub(in crate::http) struct KeyStatusView {
    id: String,
    name: String,
    scopes: Vec<String>,
    created: String,
    expires: Option<String>,
    revoked: Option<String>,
    routes: Option<Vec<String>>,
    rpm: Option<u32>,
    tpm: Option<u32>,
    budget: BTreeMap<String, f64>,
}

/// A new key: what the list shows of it, and once its text.
#[derive(ToSchema)]
pub(in crate::http) struct KeyMade {
    id: String,
    /// What clients send. It is not stored and not shown again.
    key: String,
}

/// All keys.
#[derive(ToSchema)]
pub(in crate::http) struct KeyList {
    keys: Vec<KeyStatusView>,
}

/// A key that is no more.
#[derive(ToSchema)]
pub(in crate::http) struct KeyRevoked {
    id: String,
    revoked: bool,
}

/// Who changed what.
#[derive(ToSchema)]
#[schema(as = Audit)]
pub(in crate::http) struct AuditView {
    /// The newest first: `id`, `at_ms`, `who` (id of an admin key, `cli`, `loopback`), `what`, `subject`, `detail`.
    audit: Vec<serde_json::Map<String, serde_json::Value>>,
}
