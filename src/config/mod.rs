//! Configuration: one TOML file and the environment's secrets become checked [`Settings`], or all faults at once.
//!
//! Two stages. `raw` walks the parsed file key by key and keeps each value with its line; whatever it does not know or cannot
//! read is a fault, and it goes on. `check` turns that into values of the domain and reports what does not fit together. So one bad
//! section never hides another, and a [`Settings`] that exists needs no further check. A key that this version does not
//! support is refused by name; no key is ever ignored.
//!
//! What it must not know: HTTP, the store, any provider's client. The environment is handed in as a function; it
//! holds secrets, and `POINTSMAN_LISTEN` may override the bind address; nothing else.

mod faults;
mod settings;

pub use faults::{ConfigFaults, Fault};
pub use settings::{
    DEFAULT_STORE_FILE, EmbedderSettings, EmbedderWeights, LearningSettings, PriceSource, ProviderFormat,
    ProviderSettings, ServerSettings, Settings, StorePrompts, StoreSettings,
};
