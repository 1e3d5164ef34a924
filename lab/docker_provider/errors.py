"""The one error of the stand-in: a sentence that Pulumi shows on the resource."""


class ProviderError(Exception):
    """The provider cannot do what was asked of it."""
