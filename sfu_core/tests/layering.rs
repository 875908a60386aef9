//! No module uses one above it, and other rules for the sources. The layers are those of `ARCHITECTURE.md`, lowest first;
//! modules of one layer may use each other only where they are listed as one.

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. A module may use its own layer's modules and everything below.
const LAYERS: &[&[&str]] = &[
    &["units", "ids", "slots", "error", "prefetch"],
    &["rtp", "rtcp"],
    &["session", "stats"],
    &["gate", "bwe"],
    &["forward", "peer", "demux"],
    &["engine"],
    &["driver"],
    &["python"],
];
/// Beside the engine: may use what is below `forward`, nobody but the rim may use it.
const SDP_MAY_USE: &[&str] = &["units", "ids", "session", "rtp", "sdp"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top-level modules that a source names by `crate::…`.
fn uses(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>())
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

#[test]
fn no_module_uses_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20, "the sources were not found");
    let mut wrong = Vec::new();
    for path in found {
        let relative = path.strip_prefix(&root).expect("below the root");
        let first = relative.components().next().expect("a component").as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source can be read");
        for used in uses(&text) {
            let allowed = if module == "sdp" {
                SDP_MAY_USE.contains(&used.as_str())
            } else if used == "sdp" {
                matches!(module.as_str(), "driver" | "python")
            } else {
                match (layer_of(&module), layer_of(&used)) {
                    (Some(own), Some(other)) => other <= own,
                    _ => false,
                }
            };
            if !allowed {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_rim_touches_sockets_threads_and_clocks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let mut wrong = Vec::new();
    for path in found {
        let relative = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        let rim = relative.starts_with("driver") || relative.starts_with("python");
        let test = relative.contains("tests");
        if rim || test {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source can be read");
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for forbidden in ["UdpSocket", "thread::spawn", "Instant::now", "SystemTime::now", "std::fs", "std::env"] {
            if production.contains(forbidden) {
                wrong.push(format!("{relative} has {forbidden}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn property_tests_draw_the_same_values_in_every_run() {
    use proptest::test_runner::{Config, RngSeed};
    assert!(matches!(Config::default().rng_seed, RngSeed::Fixed(_)), "`.cargo/config.toml` gives the seed");
}
