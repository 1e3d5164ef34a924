"""Fixtures that tests of a cluster's API share."""

from tests.cluster.conftest import anyio_backend, authority

__all__ = ["anyio_backend", "authority"]
