//! Configurations: settings, or faults with their places; a secret is never repeated.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pointsman::config;

const SECRET: &str = "sk-never-shown";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let is_set = |name: &str| name.len() % 2 == 0 && name != "POINTSMAN_LISTEN";
    let env = |name: &str| is_set(name).then(|| SECRET.to_owned());
    let shown = match config::parse(text, Path::new("/nowhere/pointsman.toml"), &env) {
        Ok(settings) => format!("{settings:?}"),
        Err(faults) => {
            let shown = faults.to_string();
            assert!(!shown.is_empty());
            shown
        }
    };
    assert!(text.contains(SECRET) || !shown.contains(SECRET));
    if let Ok(imported) = config::import_litellm(text) {
        let _ = format!("{imported:?}");
    }
});
