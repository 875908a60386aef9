#!/usr/bin/env bash
# Installs the Debian packages that are missing when root; else prints the line that does, and leaves nothing half done.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
while read -r package; do
    [[ -z "$package" || "$package" == \#* ]] && continue
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done <packages.txt
[[ ${#missing[@]} -eq 0 ]] && exit 0

# Debian starts what it installs, now and with the machine. The tests need promtool and programs of PostgreSQL, and none
# of them that runs.
quiet=""
for service in prometheus postgresql; do
    [[ " ${missing[*]} " == *" $service "* ]] || continue
    unit=/etc/systemd/system/$service.service
    quiet+="export RUNLEVEL=1 && mkdir -p ${unit%/*} && { [ -e $unit ] || ln -s /dev/null $unit; } && "
done
line="${quiet}apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [[ $EUID -ne 0 ]]; then
    echo "These Debian packages are missing. Install them, then run the same command again:" >&2
    echo "  sudo sh -c '$line'" >&2
    exit 1
fi
echo "Installing Debian packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
sh -c "${quiet}apt-get update -qq && apt-get install -y -qq --no-install-recommends ${missing[*]}" >/dev/null
