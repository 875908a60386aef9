#!/bin/sh
# Boots systemd as process 1 of a machine inside this one. To be run in namespaces of its own (pid, mount, network, cgroup, ipc,
# uts) and below a cgroup of its own; the argument is an empty folder. The machine's files are this one's, what it writes is kept
# in memory, and of this one's services it starts none.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
folder=$1

mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
cd "$folder/root"

mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mount -t tmpfs -o mode=0755,nosuid tmpfs dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
: >dev/console
mount --bind /dev/null dev/console
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

# Nothing of this machine is started there but the journal. What the kernel has one of (sysctl, audit) is left alone.
rm -rf etc/systemd/system etc/fstab etc/init.d
mkdir etc/systemd/system
for wants in lib/systemd/system/*.target.wants; do
    for unit in "$wants"/*; do
        case $unit in
        */systemd-journald.service | */systemd-journald.socket | */systemd-journald-dev-log.socket) ;;
        *) ln -sf /dev/null "etc/systemd/system/${unit##*/}" ;;
        esac
    done
done
rm -rf lib/systemd/system-generators/*
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nAudit=no\nStorage=volatile\nReadKMsg=no\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/test.conf
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id

# Clients pass over loopback addresses (aiortc), so there is another one. What leads to it leads nowhere else.
ip link set lo up
ip link add eth0 type veth peer name eth1
ip address add 192.0.2.10/24 dev eth0
ip link set eth0 up
ip link set eth1 up

mkdir old
pivot_root . old
umount -l old
rmdir old
exec env -i container=test PATH="$PATH" /lib/systemd/systemd --unit=multi-user.target --show-status=no
