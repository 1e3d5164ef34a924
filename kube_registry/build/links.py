"""Which symbolic links of a build context lead to something that is sent as well."""

from collections import deque
from collections.abc import Mapping

MOST_HOPS = 40
"""How many links one path may go through (Linux, path_resolution(7))."""


def leads_inside(link: str, links: Mapping[str, str], kinds: Mapping[str, str]) -> bool:
    """Whether a link leads, inside of what is sent, to something that is sent.

    Every part of the way counts: a link that leaves the build context and comes back leads elsewhere on another
    machine.

    Args:
        link: its path in the build context, with forward slashes.
        links: path -> target of every link there.
        kinds: path -> "folder", "file" or "link" of all that is sent.
    """
    place: list[str] = []
    ahead, hops = deque(link.split("/")), 0
    while ahead:
        part = ahead.popleft()
        path = "/".join([*place, part])
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                return False
            place.pop()
        elif path in links:
            hops += 1
            if links[path].startswith("/") or hops > MOST_HOPS:
                return False
            ahead.extendleft(reversed(links[path].split("/")))
        elif kinds.get(path) == "folder":
            place.append(part)
        else:
            return kinds.get(path) == "file" and not ahead
    return True
