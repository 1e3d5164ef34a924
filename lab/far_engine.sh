# Set up a loopback and a bridge for builds in a new network namespace, then run the Docker engine. The namespace has no
# route to other networks: this machine connects to the engine through its socket, and the engine not to this machine.
#
# $1: the bridge   $2: its address, with prefix length   then: the engine's command
set -eu
bridge=$1 address=$2
shift 2

ip link set lo up
ip link add "$bridge" type bridge
ip address add "$address" dev "$bridge"
ip link set "$bridge" up

exec "$@"
