#!/bin/sh
# Init of the guest of user-mode Linux: its root is the host's root, read-only; the disk is /dev/ubda.
# The kernel hands over what it does not know of its command line as the environment.
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mkdir /mnt/disk
mount -t ext4 /dev/ubda /mnt/disk || echo 'WRONG the disk cannot be mounted'
exec "$HOLDFAST_NODE" "$HOLDFAST_WRITER" /mnt/disk/data "$HOLDFAST_SEED" "$HOLDFAST_BOOT" \
  "$HOLDFAST_DURABILITY"
