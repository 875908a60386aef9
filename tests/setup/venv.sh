#!/usr/bin/env bash
# Makes .venv with the locked Python dependencies. uv itself comes from PyPI into a venv of its own, so nothing outside
# this folder is touched.
set -euo pipefail
cd "$(dirname "$0")/../.."

uv_version=0.13.9
tool=target/uv
if [[ ! -x $tool/bin/uv ]]; then
    rm -rf "$tool"
    python3 -m venv "$tool"
    "$tool/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"
fi
export UV_PYTHON_DOWNLOADS=never
# Compiled here, once: tests start a server hundreds of times, also where Python may not keep what it has compiled.
"$tool/bin/uv" sync --quiet --locked --no-install-project --all-extras --group dev --compile-bytecode
