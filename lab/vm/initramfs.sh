#!/bin/busybox sh
# Find the disk and continue with the init on it.
/bin/busybox mount -t devtmpfs devtmpfs /dev
while read -r module; do
    /bin/busybox insmod "$module"
done </modules/order
until /bin/busybox mount -t ext4 /dev/vda /root 2>/dev/null; do # the kernel finds disks in the background
    /bin/busybox sleep 0.05
done
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /usr/sbin/lab-init
