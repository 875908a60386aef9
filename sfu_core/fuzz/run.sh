#!/usr/bin/env bash
# Runs fuzz targets for a while each: run.sh [seconds [target...]]. Stable rustc is enough: RUSTC_BOOTSTRAP lets it
# instrument for libFuzzer and AddressSanitizer, which is all that `cargo fuzz` uses nightly for.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
shift || true
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
folder=$(cd ../.. && pwd)/target/fuzz
coverage="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing $coverage -Zsanitizer=address -Cdebug-assertions -Ccodegen-units=4" \
    cargo build --quiet --locked --release --features libfuzzer --bins --target "$host" --target-dir "$folder"

mkdir -p artifacts
one() {
    local target=$1 seconds=$2 binaries=$3 found options=()
    found=$(mktemp -d)
    # What is rare is no guide where a handshake draws other numbers each time, and keeping account of it takes most of the time.
    if [[ $target == connected ]]; then options+=(-entropic=0); fi
    if "$binaries/$target" "${options[@]}" -max_total_time="$seconds" -artifact_prefix="artifacts/$target-" -print_final_stats=1 \
        "$found" "corpus/$target" >"$found.log" 2>&1; then
        sed -n 's/^stat::number_of_executed_units: */  runs: /p' "$found.log"
        echo "fuzz $target: passed"
        rm -rf "$found" "$found.log"
    else
        tail -n 40 "$found.log"
        echo "fuzz $target: FAILED"
        rm -rf "$found"
        return 1
    fi
}
export -f one
# One per processor: each target has its minute either way.
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'one "$@"' one {} "$seconds" "$folder/$host/release"
