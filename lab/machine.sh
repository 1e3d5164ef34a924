# The first process of a machine of the lab, in its own network, mount and PID namespace: gives it a /run, a /tmp and a
# /var of its own, then turns into an init that only reaps.
#
# $1: the folder that becomes /var   $2: the folder of the cluster's volumes   then: NAME=PATH of programs that are to be
# found as /run/bin/NAME
set -eu
var=$1 volumes=$2
shift 2

# The programs and the volumes first: the folders they come from may be hidden by what follows.
mount -t tmpfs -o mode=755 lab /run
mkdir /run/bin
for program; do
    name=${program%%=*} path=${program#*=}
    : >"/run/bin/$name"
    mount --bind "$path" "/run/bin/$name"
done
mount -t tmpfs -o mode=1777 lab /tmp
mkdir /tmp/hostpath_pv # where the host-path provisioner keeps its volumes, whatever one tells it
mount --bind "$volumes" /tmp/hostpath_pv
mkdir -p "$var/lib" "$var/log" "$var/tmp"
ln -sfn /run "$var/run"
mount --bind "$var" /var
mount --make-rshared / # mounts that the kubelet makes have to be seen in the containers that ask for them

# The kubelet insists on these and would set them for the whole computer: let it find them set.
mkdir /run/kernel
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    name=${setting%%=*}
    echo "${setting#*=}" >"/run/kernel/${name##*/}"
    mount --bind "/run/kernel/${name##*/}" "/proc/sys/$name"
done

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# A pod that reaches another pod on its node through a service does so over the bridge, where only this lets the
# kernel translate the answer back. The file is there where the kernel has bridge netfilter.
bridge=/proc/sys/net/bridge/bridge-nf-call-iptables
[ ! -e $bridge ] || echo 1 >$bridge

: >/run/ready
exec tini-static -s -- sleep infinity
