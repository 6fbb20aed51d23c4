//! Configuration: one TOML file and the environment's secrets become checked [`Settings`], or all faults at once.
//!
//! Two stages. `raw` walks the parsed file key by key and keeps each value with its line; whatever it does not know or cannot
//! read is a fault, and it goes on. `check` turns that into values of the domain and reports what does not fit together. So one bad
//! section never hides another, and a [`Settings`] that exists needs no further check. A key that this version does not
//! support is refused by name; no key is ever ignored.
//!
//! What is not written has a default: prices, windows and capabilities come from the built-in catalog (`data/catalog.toml`) when
//! it knows the vendor's model. A price that nobody knows is a fault, never zero. Without `[routes]` there is one route `auto`
//! over all models, whose default is the first listed. A route may name `provider/model` without an entry under `[models]` when the
//! catalog knows that vendor's model.
//!
//! What it must not know: HTTP, the store, any provider's client. The environment is handed in as a function; it
//! holds secrets, and `POINTSMAN_LISTEN` may override the bind address; nothing else.

mod catalog;
mod check;
mod faults;
mod litellm;
mod raw;
mod read;
mod settings;
mod starter;
mod suggest;
mod vendors;

use std::path::Path;

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use crate::domain::hex;
use check::Check;
use raw::RawConfig;
use read::{Place, Section, Source};

pub use catalog::{BuiltInCatalog, CatalogModel};
pub use faults::{ConfigFaults, Fault};
pub use litellm::{ImportError, Imported, import as import_litellm};
pub use settings::{
    DEFAULT_STORE_FILE, EmbedderKind, EmbedderSettings, EmbedderWeights, ExperimentSettings,
    LearningSettings, PriorSource, ProviderFormat, ProviderSettings, ServerSettings, Settings, StorePrompts,
    StoreSettings,
};
pub use starter::{Found, LocalModel, LocalServer};
pub use vendors::{VENDORS, Vendor, vendor};

/// Reads one variable of the environment; handed in, so that tests need not change the process's own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "pointsman.toml";

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The process's own environment; values that are not UTF-8 count as absent.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and checks `path`.
///
/// # Errors
/// All faults of the file at once; one fault when it cannot be read.
pub fn load(path: &Path, env: Env<'_>) -> Result<Settings, ConfigFaults> {
    parse(&read(path)?, path, env)
}

fn read(path: &Path) -> Result<String, ConfigFaults> {
    let whole = |message: String| ConfigFaults::whole(path, message);
    let size = std::fs::metadata(path).map_err(|e| whole(unreadable(&e)))?.len();
    if size > MAX_FILE_BYTES {
        return Err(whole(format!("has {size} bytes; a configuration has at most {MAX_FILE_BYTES}")));
    }
    std::fs::read_to_string(path).map_err(|e| whole(unreadable(&e)))
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; `pointsman init` writes one".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Checks the text of a file; `file` names it in faults, and relative paths in it count from its folder.
///
/// # Errors
/// All faults at once.
pub fn parse(text: &str, file: &Path, env: Env<'_>) -> Result<Settings, ConfigFaults> {
    settings(text, file, env, None)
}

/// Reads and checks `path` for a service that runs with `before`.
///
/// # Errors
/// As [`load`]; besides, one fault for each key that was changed and needs a restart.
pub fn reload(path: &Path, env: Env<'_>, before: &Settings) -> Result<Settings, ConfigFaults> {
    settings(&read(path)?, path, env, Some(before))
}

fn settings(
    text: &str,
    file: &Path,
    env: Env<'_>,
    before: Option<&Settings>,
) -> Result<Settings, ConfigFaults> {
    let mut settings = checked(text, file, env, |root, check| {
        let raw = RawConfig::read(root);
        let settings = check.settings(&raw);
        if let Some(before) = before {
            check.needs_no_restart(&raw, before, &settings);
        }
        settings
    })?;
    settings.hash = hex(&Sha256::digest(text)[..6]);
    Ok(settings)
}

/// Parses the text and hands it to `make`; what that makes counts only when no fault was found.
fn checked<T>(
    text: &str,
    file: &Path,
    env: Env<'_>,
    make: impl FnOnce(&mut Section<'_>, &Check<'_>) -> T,
) -> Result<T, ConfigFaults> {
    let source = Source::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map(|span| source.line(span.start));
        source.fault(&Place { line, path: String::new() }, format!("not TOML: {}", error.message()));
    }
    // After any other slip the tree holds guesses, and faults found in it would mislead.
    if errors.iter().any(|e| e.message() != "duplicate key") {
        return Err(source.into_faults(file));
    }
    let catalog = BuiltInCatalog::load()
        .map_err(|e| ConfigFaults::whole(file, format!("the built-in catalog cannot be read: {e}")))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let check = Check { source: &source, env, catalog: &catalog, folder };
    let made = make(&mut Section::root(&source, document.get_ref()), &check);
    if source.is_sound() { Ok(made) } else { Err(source.into_faults(file)) }
}

/// Reads `[store]` of `path` alone: for commands that need no provider and so none of its secrets. Of `env` the database's password
/// may be asked for.
///
/// # Errors
/// When the file cannot be read, is no TOML, or `[store]` has faults.
pub fn load_store(path: &Path, env: Env<'_>) -> Result<StoreSettings, ConfigFaults> {
    let text = read(path)?;
    checked(&text, path, env, |root, check| {
        let raw = raw::RawStore::read(root.section("store"));
        check.store(&raw)
    })
}

/// Settings without a file: every vendor whose key is in the environment, and one route `auto` over a few of their models.
///
/// # Errors
/// When no key is set, with the variables that were looked for; when `POINTSMAN_LISTEN` is no address.
pub fn from_environment(env: Env<'_>) -> Result<Settings, ConfigFaults> {
    let found = Found::in_environment(env);
    let place = Path::new("environment");
    if found.is_empty() {
        let names: Vec<_> = VENDORS.iter().map(|v| v.key_env).collect();
        let message = format!(
            "no configuration and no provider key: there is no {DEFAULT_FILE}, and none of {} is set; \
             set one of them, or write a configuration with `pointsman init`, or try `pointsman demo`, which needs neither",
            names.join(", ")
        );
        return Err(ConfigFaults::whole(place, message));
    }
    parse(&found.to_toml(), place, env)
}

#[cfg(test)]
mod tests;
