# Complete the root file system of the lab's VMs after its packages are installed, and create the disk and the initramfs.
#
# $1: the root file system   $2: the folder of results   $3: the init of the initramfs   $4: the init of the VM
set -eu
root=$1 result=$2

# The package of the kernel is unpacked elsewhere: it has a folder /lib, which in Debian is a link.
image=$(chroot "$root" apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
mkdir "$root/kernel"
chroot "$root" sh -c "cd /kernel && apt-get download -qq $image && dpkg --extract linux-image-*.deb ."
mv "$root"/kernel/boot/vmlinuz-* "$result/vmlinuz"
mv "$root/kernel/lib/modules" "$root/usr/lib/modules"
rm -r "$root/kernel"
kernel=$(ls "$root/usr/lib/modules")
chroot "$root" depmod "$kernel"

# The initramfs has only the modules of the disk; the kernel itself contains ext4.
initramfs=$(mktemp -d)
mkdir "$initramfs/bin" "$initramfs/modules" "$initramfs/dev" "$initramfs/proc" "$initramfs/root"
cp "$root/usr/bin/busybox" "$initramfs/bin/busybox"
install -m 755 "$3" "$initramfs/init"
chroot "$root" modprobe --set-version "$kernel" --show-depends --all virtio_pci virtio_blk |
    busybox awk '!seen[$2]++' |
    while read -r _ module _; do
        cp "$root$module" "$initramfs/modules/"
        echo "/modules/$(basename "$module")" >>"$initramfs/modules/order"
    done
(cd "$initramfs" && find . | "$root/usr/bin/busybox" cpio -o -H newc) | gzip >"$result/initramfs"
rm -r "$initramfs"

install -m 755 "$4" "$root/usr/sbin/lab-init"
# Mount helpers read and write this file; without a link they would not list what other programs have mounted.
ln -sfn ../proc/self/mounts "$root/etc/mtab"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
