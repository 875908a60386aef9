//! Copies the ring's source without its tests, which are of the standard library's atomics: `cfg(test)` is on where it is read.

use std::path::Path;
use std::{env, fs};

fn main() {
    let source = "../../sfu_core/src/driver/ring.rs";
    println!("cargo::rerun-if-changed={source}");
    let text = fs::read_to_string(source).expect("the source of the ring can be read");
    let (code, _) = text.split_once("#[cfg(test)]").expect("its tests stand at its end");
    // What is included may not document the module that it is included into.
    let code: String =
        code.lines().map(|line| line.strip_prefix("//!").map_or(line, |_| "//").to_owned() + "\n").collect();
    let folder = env::var("OUT_DIR").expect("cargo says where to");
    fs::write(Path::new(&folder).join("ring.rs"), code).expect("the copy can be written");
}
