"""What the kubernetes provider is asked for, object by object (pulumi-kubernetes, annotations pulumi.com/…)."""

FORCE = {"pulumi.com/patchForce": "true"}
"""The program's values win over a change by another field manager, which is an error without it."""

OURS = {"pulumi.com/skipAwait": "true", **FORCE}
"""The same, and no waiting: the program itself reports within seconds why something does not run."""
