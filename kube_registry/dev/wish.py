"""What a user asks for with a key, besides the updates that changes lead to."""

from enum import Flag, auto


class Wish(Flag):
    """What a user asks for with a key."""

    NOTHING = 0
    REFRESH = auto()
    """An update that first reads the state of all resources from the cluster."""
    REBUILD = auto()
    """An update that builds and pushes all images, even if they have not changed."""
