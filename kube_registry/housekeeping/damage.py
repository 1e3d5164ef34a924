"""Find out from the files on the volume what is wrong with a part of a registry that the read door does not serve.

Only files that are certainly useless are listed for removal: bytes that do not match their digest, links that lead
nowhere. Intact bytes are kept even if links to them are broken, because other repositories may share them. Unreadable
files are kept, too, because that may be a temporary fault of the disk.

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
        repository: repository from which it is read.
        digest: digest that it must have.
        is_manifest: whether it is a manifest or an index; a config or a layer if not.
        size: its bytes, from a manifest that names it or from the volume.
    """

    repository: str
    digest: str
    is_manifest: bool
    size: int

    @property
    def key(self) -> tuple[str, str]:
        """Repository and digest, which identify it."""
        return self.repository, self.digest

    @property
    def name(self) -> str:
        """Its kind and digest, to be printed."""
        return f"{'manifest' if self.is_manifest else 'blob'} {self.digest}"

    @property
    def path(self) -> str:
        """Its path in the registry's API."""
        return f"/v2/{self.repository}/{'manifests' if self.is_manifest else 'blobs'}/{self.digest}"


@dataclass(frozen=True)
class Damage:
    """What is wrong with a part.

    Args:
        part: the part.
        words: what is wrong with it.
        files: files to remove from the volume, so that a push stores the part again; empty if a push alone is enough.
    """

    part: Part
    words: str
    files: tuple[str, ...] = ()


async def diagnose(kube: KubeClient, suspect: Iterable[Part], parts: Iterable[Part]) -> list[Damage]:
    """Examine the files of parts that the read door has not served correctly.

    Args:
        kube: client of the registry's cluster.
        suspect: those parts.
        parts: all parts; those that share the bytes of a suspect are examined, too.

    Raises:
        ExecError: the pod, or a process in it, ended.
        ForbiddenError: a permission is missing.
    """
    refused, found = set(suspect), list[Damage]()
    digests = {part.digest for part in refused}
    examined = [part for part in parts if part.digest in digests]
    seconds = reading_seconds(examined)
    async with process_in_pod(kube, "examining damaged parts", ["sh", "-c", _DIAGNOSE], seconds=seconds) as process:
        async for part, answer in process.answers(
            examined, lambda part: f"{part.digest} {_data(part)}/data {_link(part)}/link"
        ):
            size, held, linked = answer.split(" ")
            damage = judge(part, int(size), held, linked)
            if damage is None and part in refused:
                damage = Damage(part, "is intact on the volume, but the read door does not serve it")
            found += [damage] if damage else []
    return found


def in_bucket(part: Part, root_folder: str | None) -> Damage:
    """Return the damage of a part of a registry with a bucket; its file is the object with its bytes.

    Args:
        part: a part that the read door does not serve correctly.
        root_folder: the registry's folder in the bucket; None for its top level.
    """
    folder = f"{root_folder}/" if root_folder else ""
    return Damage(part, "is missing or has other bytes", (f"{folder}docker/registry/v2/{_data(part)}/data",))


def reading_seconds(parts: Iterable[Part]) -> float:
    """Return how many seconds a process may take for the largest of some parts: a minute, and a second for each MB."""
    return 60.0 + max((part.size for part in parts), default=0) / 1e6


def judge(part: Part, size: int, held: str, linked: str) -> Damage | None:
    """Return what is wrong with a part, judged by its two files; None if nothing is.

    Args:
        part: the part.
        size: bytes of the file with its content.
        held: whether that file is right, wrong, missing or unreadable.
        linked: the same for the link from its repository.
    """
    if held == "unreadable" or linked == "unreadable":
        return Damage(part, "cannot be read from the volume; check the disk of its node")
    broken = (f"{V2}/{_link(part)}",)
    nowhere = broken if part.is_manifest and linked != "missing" else ()  # a garbage collection would stop at it
    if held == "missing":
        return Damage(part, "is missing", nowhere)
    if held == "wrong":
        words = f"has {size} of {part.size} bytes" if size != part.size else "has other bytes"
        return Damage(part, words, (f"{V2}/{_data(part)}", *nowhere))
    if linked == "right":
        return None
    words = "is not linked in" if linked == "missing" else "has a broken link in"
    return Damage(part, f"{words} repository {part.repository}", broken if linked == "wrong" else ())


def _data(part: Part) -> str:
    number = part.digest.partition(":")[2]
    return f"blobs/sha256/{number[:2]}/{number}"


def _link(part: Part) -> str:
    folder = "_manifests/revisions" if part.is_manifest else "_layers"
    return f"repositories/{part.repository}/{folder}/sha256/{part.digest.partition(':')[2]}"
