"""One image's build, from its settings to what Docker is given: one value, which each step takes and returns.

Two checkouts with the same files get the same tag, whatever their folder, umask or clock. What counts is the build
context as `docker build` would send it, the Dockerfile, target, build arguments and platform.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kube_registry.build.content import ContextEntry, read_entries
from kube_registry.build.dockerignore import ignore_file
from kube_registry.build.errors import BuildContextError
from kube_registry.build.hash_cache import OWN_FOLDER, flat, remembered_hashes
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import Settings

TAG_LENGTH = 16
"""Hex digits of the hash that a tag keeps: 64 bits, for a few thousand tags of one repository."""

CONTEXT = "context"
DOCKERFILE = "Dockerfile"
"""Names in a stage."""

_OTHER_NAME = "rename it, or leave it out by a line in .dockerignore"

_TAR_NAME = 100
_TAR_NUMBER = 8**11
"""Bounds of a plain tar header (POSIX ustar): bytes of a name, a slash included, and of eleven octal digits."""


@dataclass(frozen=True)
class Build:
    """One image: what its build needs, all that it reads, at one moment, and what it is called.

    Attributes:
        image: its repository in the registry, and its name in the stack and its settings.
        settings: how it is built.
        platform: what it is built for, such as linux/amd64.
        context: the folder of the build context, every link followed.
        dockerfile: the Dockerfile, in it or not; links on the way to it are followed.
        entries: what is sent of the build context; a folder before what is in it.
        left_out: links that are not sent because they do not lead to something that is sent.
        tag: hash of all that it reads and needs.
    """

    image: str
    settings: ImageSettings
    platform: str
    context: Path
    dockerfile: Path
    entries: tuple[ContextEntry, ...]
    left_out: tuple[Path, ...]
    tag: str

    @property
    def sent_dockerfile(self) -> str:
        """The Dockerfile's path among the entries."""
        return next(entry.path for entry in self.entries if entry.source == self.dockerfile)

    @property
    def widened(self) -> int:
        """How many files the umask hides from others here, that everybody may read in the image."""
        return sum(entry.widened for entry in self.entries)

    @property
    def stage(self) -> str:
        """The folder that it is built from, once it is staged: relative to the program's, with forward slashes."""
        return f"{OWN_FOLDER}/stages/{flat(self.image)}/{self.tag}"

    @property
    def staged_context(self) -> str:
        """The build context there."""
        return f"{self.stage}/{CONTEXT}"

    @property
    def staged_dockerfile(self) -> str:
        """The Dockerfile there."""
        return f"{self.stage}/{DOCKERFILE}"


def read_builds(settings: Settings, program: Path, images: Iterable[str] | None = None) -> Iterator[Build]:
    """The builds of a stack's images, as their files are now; each is read when it is asked for.

    Args:
        settings: the stack.
        program: folder that build contexts are relative to.
        images: names of the images that are meant; all if not given.

    Raises:
        BuildContextError: as `read_build` does.
    """
    for name in images or settings.images:
        yield read_build(name, settings.images[name], settings.platform, program)


def read_build(name: str, image: ImageSettings, platform: str, program: Path) -> Build:
    """Read what the files on disk give to an image's build.

    Hashes are remembered in the program's folder, so that a file that did not change is not read again.

    Args:
        name: the image's name in the settings.
        image: how it is built.
        platform: what it is built for, such as linux/amd64.
        program: folder that `image.context` is relative to.

    Raises:
        BuildContextError: build context or Dockerfile is not there, a file cannot be read or has a name that no build
            takes, or the ignore file has a pattern that is none.
    """
    context = (program / (image.context or ".")).absolute()
    _prove(name, context, Path.is_dir, "is not a folder")
    context = context.resolve()
    dockerfile = context / image.dockerfile
    _prove(name, dockerfile, Path.is_file, "is not a file")
    dockerfile = dockerfile.parent.resolve() / dockerfile.name
    with _one_sentence(name, context, dockerfile), remembered_hashes(program, name) as hashes:
        entries, left_out = read_entries(context, dockerfile, hashes)
        text = hashlib.sha256(dockerfile.read_bytes()).hexdigest()
    _prove_names(name, entries)
    tag = _tag(entries, platform, image.target or "", json.dumps(image.build_args, sort_keys=True), text)
    return Build(name, image, platform, context, dockerfile, entries, left_out, tag)


def _prove(image: str, path: Path, is_right: Callable[[Path], bool], otherwise: str) -> None:
    try:
        problem = None if is_right(path) else otherwise
    except OSError as error:  # a name that is too long, or a folder on the way that may not be entered
        problem = f"cannot be read: {error.strerror}"
    if problem:
        raise BuildContextError(image=image, path=str(path), problem=problem)


@contextmanager
def _one_sentence(image: str, context: Path, dockerfile: Path) -> Iterator[None]:
    """What cannot be read becomes a BuildContextError."""
    try:
        yield
    except ValueError as error:
        raise BuildContextError(
            image=image,
            path=str(ignore_file(context, dockerfile)),
            problem=f"has a wrong pattern: {error}",
            fix="correct that line",
        ) from error
    except OSError as error:
        raise BuildContextError(
            image=image,
            path=str(error.filename or context),  # a disk that fails while it is read names no file
            problem=f"cannot be read: {error.strerror}",
            fix="make it readable, or leave it out by a line in .dockerignore",
        ) from error


def _prove_names(image: str, entries: tuple[ContextEntry, ...]) -> None:
    """A build knows names as UTF-8 only (BuildKit's protobuf messages), and some of the first of them not at all."""
    problem = "has a name that is not UTF-8"
    wrong = next((entry for entry in entries if not _is_utf8(entry.path)), None)
    if wrong is None and not _fits_plain_header(entries[0]):
        wrong = entries[0]
        problem = (
            "is the first file of the build context, and its name, link target, size or time does not fit a plain tar "
            "header, which the docker provider's archive has to begin with"
        )
    if wrong:
        raise BuildContextError(image=image, path=str(wrong.source), problem=problem, fix=_OTHER_NAME)


def _is_utf8(path: str) -> bool:
    return path.encode(errors="replace").decode() == path


def _fits_plain_header(first: ContextEntry) -> bool:
    """BuildKit takes an archive whose first header is an extended one for the text of a Dockerfile (isArchive).

    It looks at the first 1,024 bytes, and an extended header (PAX) comes before what it describes.
    """
    plain = first.path.isascii() and first.value.isascii() and max(len(first.path), len(first.value)) < _TAR_NAME
    return plain and max(first.size, first.time // 1_000_000_000) < _TAR_NUMBER


def _tag(entries: tuple[ContextEntry, ...], *build: str) -> str:
    digest = hashlib.sha256()
    _add(digest, *build)
    for entry in entries:
        _add(digest, entry.kind, entry.path, f"{entry.mode:o}", entry.value)
    return digest.hexdigest()[:TAG_LENGTH]


def _add(digest: "hashlib._Hash", *facts: str) -> None:
    """Add facts so that no two different lists of them are the same bytes."""
    for fact in facts:
        data = fact.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8) + data)
    digest.update(bytes(8))
