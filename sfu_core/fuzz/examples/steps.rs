//! Says how long the longest call of the engine was, in processor time, over the inputs of the target `connected` in the folders
//! named, and fails where it was longer than a step may be: `cargo run --release -p sfu_fuzz --example steps [folder...]`.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut folders: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/connected"));
    }
    let (mut runs, mut longest) = (0_u32, (Duration::ZERO, PathBuf::new()));
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let file = entry?.path();
            longest = longest.max((sfu_fuzz::longest_call(&fs::read(&file)?), file));
            runs += 1;
        }
    }
    println!("{runs} runs, longest step {:?} in {}", longest.0, longest.1.display());
    Ok(())
}
