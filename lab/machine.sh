# The first process of a machine of the lab, in its own network, mount and PID namespace: mount its /run, /tmp and /var,
# then become an init that only reaps child processes.
#
# $1: the folder for /var   $2: the folder of the cluster's volumes   then: NAME=PATH of programs to provide as
# /run/bin/NAME
set -eu
var=$1 volumes=$2
shift 2

# Programs and volumes first, because the mounts below may hide their source folders.
mount -t tmpfs -o mode=755 lab /run
mkdir /run/bin
for program; do
    name=${program%%=*} path=${program#*=}
    : >"/run/bin/$name"
    mount --bind "$path" "/run/bin/$name"
done
mount -t tmpfs -o mode=1777 lab /tmp
mkdir /tmp/hostpath_pv # the host-path provisioner's folder, which is not configurable
mount --bind "$volumes" /tmp/hostpath_pv
mkdir -p "$var/lib" "$var/log" "$var/tmp"
ln -sfn /run "$var/run"
mount --bind "$var" /var
mount --make-rshared / # containers have to see mounts of the kubelet

# The kubelet requires these settings and would set them for the whole computer. Present them as set.
mkdir /run/kernel
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    name=${setting%%=*}
    echo "${setting#*=}" >"/run/kernel/${name##*/}"
    mount --bind "/run/kernel/${name##*/}" "/proc/sys/$name"
done

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# If a pod connects through a service to a pod on the same node, the packets use the bridge. Only this setting lets the
# kernel translate the addresses of the replies. The file exists if the kernel supports bridge netfilter.
bridge=/proc/sys/net/bridge/bridge-nf-call-iptables
[ ! -e $bridge ] || echo 1 >$bridge

: >/run/ready
exec tini-static -s -- sleep infinity
