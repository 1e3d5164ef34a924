#!/bin/sh
# The first process of a VM of the lab: mount file systems, then run QEMU's guest agent, by which the lab starts the rest.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /lab
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done
mkdir -p /run/bin /run/lock /var/lib/containerd
mount /dev/vdb /lab
mount --bind /lab/bin /run/bin
mount --bind /lab/containerd /var/lib/containerd
mount --make-rshared / # containers have to see mounts of the kubelet

modprobe -a virtio_console virtio_net virtio_rng overlay br_netfilter
ip link set lo up
echo "127.0.1.1 $(cat /proc/sys/kernel/hostname)" >>/etc/hosts
sysctl -q net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1

for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" != org.qemu.guest_agent.0 ] || agent=/dev/${port##*/}
done
stty -F /dev/hvc0 raw
exec </dev/null >/dev/hvc0 2>&1
exec tini -- qemu-ga --method=virtio-serial --path="$agent" --statedir=/run
