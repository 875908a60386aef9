#!/bin/sh
# Runs a command where it can make network namespaces: root does so as it is, others in a user namespace of their own.
set -eu
# An ordinary user of Debian has no sbin on the path; ethtool, tc and nft lie there.
PATH="$PATH:/usr/sbin:/sbin"
export PATH
[ "$(id -u)" -eq 0 ] && exec "$@"
if ! unshare --user --map-root-user --mount --net true 2>/dev/null; then
    echo "This kernel lets only root make network namespaces (user.max_user_namespaces, kernel.unprivileged_userns_clone or" >&2
    echo "kernel.apparmor_restrict_unprivileged_userns says so): allow it, or run this as root." >&2
    exit 1
fi
# `ip netns` keeps its names below /run, which belongs to the real root.
exec unshare --user --map-root-user --mount --net sh -c 'mount -t tmpfs none /run && exec "$@"' sh "$@"
