# Gives a Docker engine, in its own network namespace, a loopback of its own and a bridge for builds, and becomes the
# engine. Nothing leads out: this machine reaches the engine by its socket, and is not reached at all.
#
# $1: the bridge   $2: its address, with the length of its network   then: the engine's command
set -eu
bridge=$1 address=$2
shift 2

ip link set lo up
ip link add "$bridge" type bridge
ip address add "$address" dev "$bridge"
ip link set "$bridge" up

exec "$@"
