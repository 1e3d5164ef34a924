# Unpack images into a store of containerd on this computer: in a VM, that would take a minute.
#
# $1: containerd   $2: ctr   $3: the archive of images   $4: the store
set -eu
run=$(mktemp -d)
cat >"$run/config.toml" <<END
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[plugins."io.containerd.internal.v1.opt"]
  path = "$run/opt"
END
"$1" --config "$run/config.toml" --root "$4" --state "$run/state" --address "$run/socket" &
containerd=$!
trap 'kill $containerd; wait; rm -r "$run"' EXIT
until [ -S "$run/socket" ]; do
    kill -0 $containerd
    sleep 0.1
done
"$2" --address "$run/socket" --namespace k8s.io images import "$3"
