"""What is wrong with a part of a registry that its door does not give as it should: told by its files on the volume.

Only what is certainly of no use is named to be taken away: bytes that are not what their name says, links that lead
nowhere. Bytes that are right stay, whatever is wrong around them, as other repositories may share them; so does what
cannot be read, for that may be the disk's fault and pass.

Layout: distribution v3.1, registry/storage/paths.go.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kube_registry.housekeeping.volume_listing import V2
from kube_registry.kube.client import KubeClient
from kube_registry.registry.pod_exec import process_in_pod

_DIAGNOSE = f"""\
cd {V2} || exit
while read -r digest data link && [ "$digest" ]; do
  size=0 bytes=missing linked=missing
  if [ -e "$data" ]; then
    size=$(stat -c %s "$data")
    bytes=unreadable
    sum=$(sha256sum < "$data") && {{ [ "sha256:${{sum%% *}}" = "$digest" ] && bytes=right || bytes=wrong; }}
  fi
  if [ -e "$link" ]; then
    linked=unreadable
    cat "$link" > /dev/null && {{ [ "$(cat "$link")" = "$digest" ] && linked=right || linked=wrong; }}
  fi
  echo "$size $bytes $linked"
done 2>/dev/null
"""


@dataclass(frozen=True)
class Part:
    """Something that an image needs.

    Args:
        repository: by which it is read.
        digest: what it has to be.
        is_manifest: whether it is a manifest or an index; a config or a layer if not.
        size: bytes that it has by a manifest that names it, or on the volume.
    """

    repository: str
    digest: str
    is_manifest: bool
    size: int

    @property
    def key(self) -> tuple[str, str]:
        """Repository and digest, by which it is one of its kind."""
        return self.repository, self.digest

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{'manifest' if self.is_manifest else 'blob'} {self.digest}"

    @property
    def path(self) -> str:
        """Where the registry's API has it."""
        return f"/v2/{self.repository}/{'manifests' if self.is_manifest else 'blobs'}/{self.digest}"


@dataclass(frozen=True)
class Damage:
    """What is wrong with a part.

    Args:
        part: which.
        words: what it is.
        files: what has to go from the volume, so that a push stores it anew; none where a push alone mends it.
    """

    part: Part
    words: str
    files: tuple[str, ...] = ()


async def diagnose(kube: KubeClient, suspect: Iterable[Part], parts: Iterable[Part]) -> list[Damage]:
    """Look at the files of parts that the read door has not given as they should be.

    Args:
        kube: client of the registry's cluster.
        suspect: those parts.
        parts: all that there are; those that share a suspect's bytes are looked at, too.

    Raises:
        ExecError: the pod ended, or its processes do.
        ForbiddenError: a right is missing.
    """
    refused, found = set(suspect), list[Damage]()
    digests = {part.digest for part in refused}
    asked = [part for part in parts if part.digest in digests]
    seconds = reading_seconds(asked)
    async with process_in_pod(kube, "looking at what is damaged", ["sh", "-c", _DIAGNOSE], seconds=seconds) as process:
        async for part, answer in process.answers(
            asked, lambda part: f"{part.digest} {_data(part)}/data {_link(part)}/link"
        ):
            size, held, linked = answer.split(" ")
            damage = judge(part, int(size), held, linked)
            if damage is None and part in refused:
                damage = Damage(part, "is whole on the volume, but the read door does not give it")
            found += [damage] if damage else []
    return found


def reading_seconds(parts: Iterable[Part]) -> float:
    """Return how long a process may need for the largest of some parts: a minute, and a second for each MB."""
    return 60.0 + max((part.size for part in parts), default=0) / 1e6


def judge(part: Part, size: int, held: str, linked: str) -> Damage | None:
    """What two files of a part tell; None if nothing is wrong.

    Args:
        part: which.
        size: bytes of the file that holds it.
        held: whether that file is right, wrong, missing or unreadable.
        linked: the same of the link by which its repository has it.
    """
    if held == "unreadable" or linked == "unreadable":
        return Damage(part, "cannot be read from the volume, whose node may say why")
    broken = (f"{V2}/{_link(part)}",)
    nowhere = broken if part.is_manifest and linked != "missing" else ()  # a collection would stop at it
    if held == "missing":
        return Damage(part, "is missing", nowhere)
    if held == "wrong":
        words = f"has {size} of {part.size} bytes" if size != part.size else "has other bytes"
        return Damage(part, words, (f"{V2}/{_data(part)}", *nowhere))
    if linked == "right":
        return None
    words = "is not known to" if linked == "missing" else "has a broken link in"
    return Damage(part, f"{words} repository {part.repository}", broken if linked == "wrong" else ())


def _data(part: Part) -> str:
    number = part.digest.partition(":")[2]
    return f"blobs/sha256/{number[:2]}/{number}"


def _link(part: Part) -> str:
    of = "_manifests/revisions" if part.is_manifest else "_layers"
    return f"repositories/{part.repository}/{of}/sha256/{part.digest.partition(':')[2]}"
