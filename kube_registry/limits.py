"""How long the steps of an update may take and how often they are tried: the limits whose sum a hook has to hold.

A limit that belongs to nothing longer stands with the code that keeps it.
"""

from typing import Final

READY_SECONDS: Final = 120.0
"""How long registry and node proxy may take to run: each image is pulled once per node, the volume made once."""

TUNNEL_SECONDS: Final = 20.0
"""How long the registry may take to answer through a tunnel."""

REGISTRY_SECONDS: Final = 10.0
"""How long the registry may take for one answer through an open tunnel; most take milliseconds."""

PATIENCE_SECONDS: Final = 15.0
"""How long one request is sent again that fails in a way that passes by itself, if its caller sets no end.

That is for the API server, after a 500 in any case, because it may be lasting, and for what is read of the registry.
"""

VOLUME_SECONDS: Final = 5.0
"""How long the write door may take to answer where it is only asked whether it can write."""

LEASE_SECONDS: Final = 60.0
"""How long one waits for others who hold the lease: a dead holder is removed by then."""

PREFLIGHT_SECONDS: Final = 60.0
"""How long all nodes may take together to pull."""

PLUGIN_SECONDS: Final = 30.0
"""How long a credential plugin of the kubeconfig may take."""

SSH_SECONDS: Final = 20.0
"""How long ssh to the machine of the Docker daemon may take to log in."""

DAEMON_SECONDS: Final = 30
"""How long the Docker daemon may take for one answer, on a busy machine too."""

DAEMON_TRIES: Final = 3
"""How often the daemon is asked, where its connection reached this machine and broke on the way to the cluster."""

RELAY_SECONDS: Final = 10.0
"""How long a relay's container may take to listen."""

PUSH_TRIES: Final = 3
"""How often one image's push is tried in all; the daemon itself tries each layer five times."""

_READ_SECONDS = PATIENCE_SECONDS + REGISTRY_SECONDS
"""Reads of the registry, which are sent again."""

_REACH_SECONDS = DAEMON_SECONDS + (DAEMON_TRIES - 1) * TUNNEL_SECONDS
"""Has the daemon reach the push address: it says at once that a connection broke, and the tunnel has to carry again."""

TAKE_SECONDS: Final = {
    "credentials, to see whether the registry runs": PLUGIN_SECONDS,
    "the registry runs, and the node proxy": READY_SECONDS,
    "a look at the volume": VOLUME_SECONDS + REGISTRY_SECONDS,
    "credentials, to push": PLUGIN_SECONDS,
    "the lease": LEASE_SECONDS,
    "the tunnel": TUNNEL_SECONDS,
    "the volume can be written": REGISTRY_SECONDS,
    "the image that nodes pull is stored": _READ_SECONDS,
    "every node has pulled it": PREFLIGHT_SECONDS,
    "it is stored for the daemon": _READ_SECONDS,
    "ssh to the daemon: where it listens, and the way there": 2 * SSH_SECONDS,
    "the daemon answers": DAEMON_SECONDS,
    "it reaches the push address": _REACH_SECONDS,
    "a relay runs there": DAEMON_SECONDS + RELAY_SECONDS,
    "the daemon reaches the push address by it": _REACH_SECONDS,
    "what the tag names so far": _READ_SECONDS,
}
"""What the longest hook waits for, one after the other, before an image is built -> the longest time for it.

Where registry or daemon are asked several things in a row, they count once: they take a moment, or the first fails.
"""

HOOK_SECONDS: Final = 720.0
"""The longest that one hook may take: more than the waits inside it, so that an error names the wait that failed."""
