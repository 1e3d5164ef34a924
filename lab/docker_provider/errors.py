"""What can go wrong in the stand-in: a sentence that Pulumi shows on the resource.

ProviderError       the provider cannot do what was asked of it
└── RefusedError    the Docker engine answered no, before it began
"""


class ProviderError(Exception):
    """The provider cannot do what was asked of it."""


class RefusedError(ProviderError):
    """The Docker engine answered no, before it began."""
