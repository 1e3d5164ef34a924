"""List a registry's volume: manifests with their tags and times, blobs with their bytes, and the free space.

The registry's API lists neither manifests without a tag, nor the time of a push, nor the free space, so the files are
listed in the pod.

Layout: distribution v3.1, registry/storage/paths.go.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kube_registry.kube.client import KubeClient
from kube_registry.registry.pod_exec import run_in_pod

LIST_SECONDS = 60.0
"""How long the listing may print nothing; a hundred thousand files take a few seconds."""

_ROOT = "/var/lib/registry"
V2 = f"{_ROOT}/docker/registry/v2"
"""The folder of everything that the registry's API serves."""

_DF = 'echo "room $(date +%s) $(df -Pk . | tail -n 1)"'
_LIST = f"""\
export LC_ALL=C
cd {_ROOT} || exit
{_DF}
list() {{
  stat docker >/dev/null || return
  cd {V2} || return
  find repositories -name _layers -prune -o -name _uploads -prune -o -path '*/_manifests/tags/*/index' -prune \
   -o -name link -exec stat -c 'link %y %n' {{}} +
  find repositories -path '*/_manifests/tags/*/current/link' -exec grep -H . {{}} +
  find blobs -name data -exec stat -c 'blob %s %n' {{}} +
}}
{{ errors=$(list 2>&1 >&3 | grep -v ': No such file or directory$'); }} 3>&1
[ -z "$errors" ] || {{ echo "$errors" | head -n 3 >&2; exit 1; }}
"""
"""POSIX, except for `stat -c`, which GNU and BusyBox have.

A missing file is no error: it was removed meanwhile, or the registry is empty. An unreadable one is: if a folder were
left out, nothing in it would seem to be needed.
"""

_FILES = f"cd {V2} 2>/dev/null || exit 0; find . -type f -exec stat -c '%s %y %n' {{}} +"

_ROOM = re.compile(r"room (?P<time>\d+) .*\s(?P<blocks>\d+)\s+(?P<used>\d+)\s+(?P<free>\d+)\s+\d+%\s")
_TIME = r"(?P<time>\d{4}-\d\d-\d\d [\d:.]+ [+-]\d{4})"
"""A time as both versions of `stat` print it; its fraction of a second decides which of two pushes was the later."""

_REVISION = re.compile(
    rf"link {_TIME} repositories/(?P<repository>.+)/_manifests/revisions/sha256/(?P<hex>[0-9a-f]{{64}})/link"
)
_TAGGED = re.compile(rf"link {_TIME} repositories/(?P<repository>.+)/_manifests/tags/(?P<tag>[^/]+)/current/link")
_TAG = re.compile(r"repositories/(?P<repository>.+)/_manifests/tags/(?P<tag>[^/]+)/current/link:(?P<digest>sha256:\S+)")
_BLOB = re.compile(r"blob (?P<bytes>\d+) blobs/sha256/[0-9a-f]{2}/(?P<hex>[0-9a-f]{64})/data")


Key = tuple[str, str]
"""Repository and digest of a manifest."""


@dataclass(frozen=True)
class Room:
    """Used and free bytes of the volume's file system."""

    used: int
    free: int


@dataclass(frozen=True)
class Tag:
    """What a tag names, and since when."""

    digest: str
    pushed: datetime


@dataclass(frozen=True)
class Storage:
    """What is on the volume.

    Args:
        room: used and free bytes.
        listed: time of the listing, by the clock of the pod, which is also that of file times.
        manifests: each manifest and index -> when it was first pushed.
        tags: repository and tag -> what it names.
        blobs: digest -> bytes, of layers, configs and manifests.
    """

    room: Room
    listed: datetime
    manifests: Mapping[Key, datetime]
    tags: Mapping[tuple[str, str], Tag]
    blobs: Mapping[str, int]


async def read_storage(kube: KubeClient) -> Storage:
    """List the volume.

    Args:
        kube: client of the registry's cluster.

    Raises:
        ExecError: it cannot be listed.
        ForbiddenError: a permission is missing, such as `create` on `pods/exec`.
    """
    return parse_listing(await run_in_pod(kube, "listing its volume", ["sh", "-c", _LIST], seconds=LIST_SECONDS))


async def read_files(kube: KubeClient) -> Mapping[str, str]:
    """List every file of the volume, including unfinished uploads: path -> bytes and time of the last change.

    Args:
        kube: client of the registry's cluster.

    Raises:
        ExecError: it cannot be listed.
        ForbiddenError: a permission is missing, such as `create` on `pods/exec`.
    """
    lines = await run_in_pod(kube, "listing its files", ["sh", "-c", _FILES], seconds=LIST_SECONDS)
    return {path: state for state, _, path in (line.partition(" ./") for line in lines)}


async def read_room(kube: KubeClient) -> Room:
    """Return used and free bytes without listing the files; raises the errors of `read_storage`."""
    lines = await run_in_pod(kube, "reading its free space", ["sh", "-c", f"cd {_ROOT} && {_DF}"], seconds=LIST_SECONDS)
    return parse_listing(lines).room


def parse_listing(lines: Sequence[str]) -> Storage:
    """Parse a listing of the volume.

    Args:
        lines: the lines of the listing.

    Raises:
        ValueError: the line with used and free bytes is missing.
    """
    room = next(filter(None, map(_ROOM.match, lines)), None)
    if room is None:
        raise ValueError("the listing of the volume has no line with used and free bytes")
    listed = datetime.fromtimestamp(int(room["time"]), UTC)
    manifests: dict[Key, datetime] = {}
    times: dict[tuple[str, str], datetime] = {}
    tags: dict[tuple[str, str], Tag] = {}
    blobs: dict[str, int] = {}
    for line in lines:
        if found := _BLOB.fullmatch(line):
            blobs[f"sha256:{found['hex']}"] = int(found["bytes"])
        elif found := _REVISION.fullmatch(line):
            manifests[found["repository"], f"sha256:{found['hex']}"] = _time(found["time"])
        elif found := _TAGGED.fullmatch(line):
            times[found["repository"], found["tag"]] = _time(found["time"])
        elif found := _TAG.fullmatch(line):
            pushed = times.get((found["repository"], found["tag"]), listed)  # pushed while this was listed
            tags[found["repository"], found["tag"]] = Tag(found["digest"], pushed)
    return Storage(Room(1024 * int(room["used"]), 1024 * int(room["free"])), listed, manifests, tags, blobs)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
