"""Timeouts and attempt counts of the steps of an update. A hook's timeout has to exceed the sum of its steps.

A limit that is not part of such a sum is defined next to the code that uses it.
"""

from typing import Final

READY_SECONDS: Final = 120.0
"""How long the registry and the node proxy may take to start, including image pulls and the creation of the volume."""

TUNNEL_SECONDS: Final = 20.0
"""How long the registry may take to respond through a new tunnel."""

REGISTRY_SECONDS: Final = 10.0
"""How long the registry may take for one response through an open tunnel; most take milliseconds."""

PATIENCE_SECONDS: Final = 15.0
"""How long a request is retried after a transient failure, unless the caller sets another limit.

It applies to requests to the API server and to reads from the registry. After status 500 it applies even if the caller
sets a longer limit, because that failure may be permanent.
"""

VOLUME_SECONDS: Final = 5.0
"""How long the write door may take to respond to the check whether the volume is writable."""

LEASE_SECONDS: Final = 60.0
"""How long to wait for other holders of the lease; the entry of a dead holder expires within this time."""

PREFLIGHT_SECONDS: Final = 60.0
"""How long all nodes together may take to pull the probe image."""

MOUNT_SECONDS: Final = 120.0
"""How long all nodes together may take to mount a shared volume; most take a second."""

PLUGIN_SECONDS: Final = 30.0
"""How long a credential plugin of the kubeconfig may run."""

SSH_SECONDS: Final = 20.0
"""How long the ssh login to the Docker daemon's machine may take."""

DAEMON_SECONDS: Final = 30
"""How long the Docker daemon may take for one response, even on a busy machine."""

DAEMON_TRIES: Final = 3
"""Attempts of the daemon's test connection, if it reaches this machine but breaks on the way to the cluster."""

RELAY_SECONDS: Final = 10.0
"""How long a relay container may take until it listens."""

PUSH_TRIES: Final = 3
"""Attempts to push one image; within each, the daemon tries each layer five times."""

_READ_SECONDS = PATIENCE_SECONDS + REGISTRY_SECONDS
"""Reads from the registry, including retries."""

_REACH_SECONDS = DAEMON_SECONDS + (DAEMON_TRIES - 1) * TUNNEL_SECONDS
"""The daemon's test connection: the daemon reports a broken connection at once, then the tunnel has to recover."""

TAKE_SECONDS: Final = {
    "get credentials to check the registry": PLUGIN_SECONDS,
    "the registry and the node proxy are ready": READY_SECONDS,
    "check the volume": VOLUME_SECONDS + REGISTRY_SECONDS,
    "get credentials to push": PLUGIN_SECONDS,
    "acquire the lease": LEASE_SECONDS,
    "open the tunnel": TUNNEL_SECONDS,
    "check that the volume is writable": REGISTRY_SECONDS,
    "store the probe image for the nodes": _READ_SECONDS,
    "every node pulls it": PREFLIGHT_SECONDS,
    "store the probe image for the daemon": _READ_SECONDS,
    "ssh to the daemon: find its address, then forward": 2 * SSH_SECONDS,
    "connect to the daemon": DAEMON_SECONDS,
    "the daemon connects to the push address": _REACH_SECONDS,
    "start a relay": DAEMON_SECONDS + RELAY_SECONDS,
    "the daemon connects to the push address through the relay": _REACH_SECONDS,
    "read the current digest of the tag": _READ_SECONDS,
}
"""Step of the longest hook, before an image is built -> the longest time that it may take.

Several requests in a row to the registry or the daemon count once: either they take milliseconds, or the first fails.
"""

HOOK_SECONDS: Final = 720.0
"""How long one hook may take. It exceeds the sum of its steps, so that an error names the step that timed out."""
