# Gives a Docker engine, in its own network and mount namespace, the network that one in a virtual machine has, and
# becomes the engine: a loopback of its own, a bridge for builds, and an address that it knows as host.docker.internal.
#
# $1: the bridge   $2: its address, with the length of its network   then: the engine's command
set -eu
bridge=$1 address=$2
shift 2

ip link set lo up
ip link add "$bridge" type bridge
ip address add "$address" dev "$bridge"
ip link set "$bridge" up

# Whatever port of the host is asked for, the gateway's is what answers: it looks up which one was meant.
ip address add 10.118.1.1/32 dev lo
iptables --table nat --append OUTPUT --protocol tcp --destination 10.118.1.1 --jump REDIRECT --to-ports 1

# Docker hands /etc/hosts on to containers in the host's network, which is this one.
mount -t tmpfs -o mode=755 far /mnt
printf '127.0.0.1 localhost\n10.118.1.1 host.docker.internal\n' >/mnt/hosts
mount --bind /mnt/hosts /etc/hosts

exec "$@"
