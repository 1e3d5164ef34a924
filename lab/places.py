"""Where the lab keeps things: three folders outside every checkout, so that a fresh clone finds them again."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kube-registry-lab"
"""What was built, by name and version: costs minutes to make, never changes, safe to delete."""

STATE = Path("/var/lib/kube-registry-lab")
"""What belongs to running clusters: etcd data, volumes, certificates, logs, Pulumi state, process records."""

RUN = Path("/run/kube-registry-lab")
"""Sockets, whose paths must be short."""
