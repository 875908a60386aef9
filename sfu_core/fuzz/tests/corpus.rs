//! Every target holds for its whole corpus, and targets, corpus folders and libFuzzer binaries belong together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sfu_fuzz::{TARGETS, seeds};

/// Fewest and most files of one target: so few say nothing, so many nobody looks at.
const FILES: std::ops::RangeInclusive<usize> = 5..=40;
/// Longest file: the offers of browsers are about 6 KiB.
const MAX_LEN: u64 = 8 * 1_024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What lies in a folder, in order of name.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    let listed = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    listed.map(|entry| entry.expect("an entry").path()).collect()
}

/// The names, without what follows the dot.
fn stems(folder: &Path) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries(folder).iter().map(stem).collect()
}

#[test]
fn every_target_has_a_corpus_and_a_binary_and_nothing_else_has() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a target is listed twice");
    assert_eq!(stems(&folder("corpus")), targets);
    assert_eq!(stems(&folder("fuzz_targets")), targets);
    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("the manifest can be read");
    for target in targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target} has no binary");
    }
}

#[test]
fn every_target_holds_for_its_corpus() {
    for (name, target) in TARGETS {
        let files = entries(&folder("corpus").join(name));
        assert!(FILES.contains(&files.len()), "{name} has {} files", files.len());
        for file in files {
            println!("{}", file.display());
            let bytes = fs::read(&file).expect("a file of the corpus can be read");
            assert!(bytes.len() as u64 <= MAX_LEN, "{} is too long", file.display());
            target(&bytes);
        }
    }
}

#[test]
fn the_seeds_are_in_the_corpus_as_they_are_made() {
    for seed in seeds::all() {
        let file = folder("corpus").join(seed.target).join(seed.name);
        let bytes =
            fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; make it with the example", file.display()));
        assert!(bytes == seed.bytes, "{} differs; make it with the example", file.display());
    }
}

#[test]
fn every_target_holds_for_every_seed_cut_short_and_for_the_seeds_of_the_others() {
    let seeds = seeds::all();
    for (name, target) in TARGETS {
        for seed in &seeds {
            let steps = if seed.target == *name { 8 } else { 1 };
            for cut in 1..=steps {
                target(&seed.bytes[..seed.bytes.len() * cut / steps]);
            }
        }
    }
}
