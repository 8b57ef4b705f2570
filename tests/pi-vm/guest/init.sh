#!/bin/busybox sh
# First process of the guest. Loads the modules, runs /command, tells how it ended, and powers off.
# What Debian has programs for is Debian's; busybox fills in the rest. Its shell prefers its own
# programs to those of the PATH, so that of all others is dash, as on Debian.
export PATH=/usr/bin:/usr/sbin:/busybox HOME=/root NO_COLOR=1
/bin/busybox mkdir /busybox
/bin/busybox mv /bin/busybox /busybox/busybox-all
/busybox/busybox-all --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
# The hub wants to see free space; nothing of it is taken before it is written.
mount -t tmpfs -o size=2g tmpfs /tmp
hostname pi
# The clock is that of the host, and right. The hub hears it from the flag of timesyncd, since the
# kernel, whom it would ask with busybox, was told by nobody.
mkdir -p /run/systemd/timesync
touch /run/systemd/timesync/synchronized
rm -f /busybox/busybox /busybox/adjtimex
ifconfig lo 127.0.0.1 up
. /modules/load.sh
mount -t configfs configfs /sys/kernel/config
# the wires to the host, see machine.ts: a folder with their names, as udev would make one
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  ln -s "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
echo "guest: ready after $(cut -d' ' -f1 /proc/uptime) s"
cd /holdfast
sh /command
code=$?
echo "{\"type\":\"exit\",\"code\":$code}" >/dev/ttyS1
poweroff -f
