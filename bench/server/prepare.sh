#!/usr/bin/env bash
# Builds what `run.py` runs: the load, and pysfu as a wheel, unpacked into target/bench/site; and installs the Janus it is
# compared with.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v janus >/dev/null; then
    line="apt-get update && apt-get install -y --no-install-recommends janus"
    if [[ $EUID -ne 0 ]]; then
        echo "Janus is missing, which pysfu is compared with. Install it, then run the same command again:" >&2
        echo "  sudo sh -c '$line'" >&2
        exit 1
    fi
    echo "Installing Debian's janus" >&2
    # The package's own service would start at once: it is masked, `systemctl unmask janus` takes that back.
    ln -s /dev/null /etc/systemd/system/janus.service 2>/dev/null || true
    DEBIAN_FRONTEND=noninteractive sh -c "$line" >/dev/null
fi

cargo build --release --quiet -p bench_load
maturin=${VENV:-.venv}/bin/maturin
rm -rf target/bench/wheel target/bench/site
PATH="$PWD/target/uv/bin:$PATH" "$maturin" build --release --quiet --out target/bench/wheel >&2
"${VENV:-.venv}/bin/python" -m zipfile -e target/bench/wheel/pysfu-*.whl target/bench/site
# As an installer leaves it (pip compiles what it installs, uv does not): a server that is started compiles nothing.
site_packages=$("${VENV:-.venv}/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"${VENV:-.venv}/bin/python" -m compileall -q target/bench/site "$site_packages" >&2
