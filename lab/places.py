"""The lab's three folders, which are outside of the checkout so that a fresh clone can use them."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kube-registry-lab"
"""Build results, by name and version; they take minutes to build, never change, and can be deleted."""

STATE = Path("/var/lib/kube-registry-lab")
"""State of running clusters: etcd data, volumes, certificates, logs, Pulumi state, process records."""

RUN = Path("/run/kube-registry-lab")
"""Sockets, whose paths must be short."""
