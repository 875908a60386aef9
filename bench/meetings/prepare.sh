#!/usr/bin/env bash
# Builds what `run.py` runs: that of `bench/server`, and the clients in Go.
set -euo pipefail
cd "$(dirname "$0")/../.."

bench/server/prepare.sh
if ! command -v go >/dev/null; then
    echo "Go is missing, in which some of the clients are written. Install Go 1.26 or newer, then run the same command again." >&2
    exit 1
fi
(cd bench/load/livekit_go && CGO_ENABLED=0 go build -mod=readonly -o ../../../target/bench/livekit_go .)
