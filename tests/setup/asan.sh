#!/usr/bin/env bash
# Runs the Rust tests under AddressSanitizer, which looks for leaks too: asan.sh [arguments of the tests...]. Stable rustc is enough,
# as for the fuzz targets (sfu_core/fuzz/run.sh). aws-lc, which is C, is not instrumented, but what it allocates is watched.
#
# Left out are the interleavings, where loom changes stacks under the sanitizer's feet and keeps some of them, and one test that
# asks the C library's allocator for its figures, in whose place stands the sanitizer's. mimalloc comes with the feature `python`
# only, which no Rust test turns on: here too Rust allocates from the sanitizer.
set -euo pipefail
cd "$(dirname "$0")/../.."

host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" \
    cargo test --workspace --exclude interleavings --lib --bins --tests --no-fail-fast --locked --target "$host" \
    --target-dir target/asan -- --skip after_a_thousand_handshakes_the_memory_is_back "$@"
