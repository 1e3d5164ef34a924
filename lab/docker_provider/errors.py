"""The errors of the stand-in, whose message Pulumi shows for the resource.

ProviderError       an operation of the provider failed
└── RefusedError    the Docker engine rejected the request
"""


class ProviderError(Exception):
    """An operation of the provider failed."""


class RefusedError(ProviderError):
    """The Docker engine rejected the request."""
