"""One image's build: its settings, its files and its tag, as one value that the steps of a build pass on.

Two checkouts with the same files get the same tag, independent of folder, umask and clock. The tag depends on the build
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
"""Hex digits of the hash in a tag: 64 bits are enough for a few thousand tags of one repository."""

CONTEXT = "context"
DOCKERFILE = "Dockerfile"
"""Names in a stage."""

_OTHER_NAME = "rename it, or exclude it with a line in .dockerignore"

_TAR_NAME = 100
_TAR_NUMBER = 8**11
"""Limits of a plain tar header (POSIX ustar): bytes of a name with its slash, and numbers of eleven octal digits."""


@dataclass(frozen=True)
class Build:
    """The build of one image, with its files as they were at one moment.

    Attributes:
        image: the image's repository in the registry, and its name in the stack and the settings.
        settings: the image's settings.
        platform: the build platform, such as linux/amd64.
        context: the folder of the build context, with all links resolved.
        dockerfile: the Dockerfile, inside or outside of the context; links to its folder are resolved.
        entries: the entries of the build context that are sent; a folder precedes its content.
        left_out: links that are not sent, because their target is not sent.
        tag: hash of the files and settings that the build depends on.
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
        """How many files only their owner can read here, because of the umask, but every user can read in the image."""
        return sum(entry.widened for entry in self.entries)

    @property
    def stage(self) -> str:
        """The folder of its stage: relative to the program's folder, with forward slashes."""
        return f"{OWN_FOLDER}/stages/{flat(self.image)}/{self.tag}"

    @property
    def staged_context(self) -> str:
        """The build context in the stage."""
        return f"{self.stage}/{CONTEXT}"

    @property
    def staged_dockerfile(self) -> str:
        """The Dockerfile in the stage."""
        return f"{self.stage}/{DOCKERFILE}"


def read_builds(settings: Settings, program: Path, images: Iterable[str] | None = None) -> Iterator[Build]:
    """Yield the builds of a stack's images with their current files; each is read when the iterator reaches it.

    Args:
        settings: the stack.
        program: folder that build contexts are relative to.
        images: names of the images; all by default.

    Raises:
        BuildContextError: as for `read_build`.
    """
    for name in images or settings.images:
        yield read_build(name, settings.images[name], settings.platform, program)


def read_build(name: str, image: ImageSettings, platform: str, program: Path) -> Build:
    """Read the current files of an image's build.

    Hashes are cached in the program's folder, so that unchanged files are not read again.

    Args:
        name: the image's name in the settings.
        image: the image's settings.
        platform: the build platform, such as linux/amd64.
        program: folder that `image.context` is relative to.

    Raises:
        BuildContextError: build context or Dockerfile is missing, a file cannot be read or has a name that builds do
            not support, or the ignore file has an invalid pattern.
    """
    context = (program / (image.context or ".")).absolute()
    _prove(name, context, Path.is_dir, "is not a folder")
    context = context.resolve()
    dockerfile = context / image.dockerfile
    _prove(name, dockerfile, Path.is_file, "is not a file")
    dockerfile = dockerfile.parent.resolve() / dockerfile.name
    with _read_errors(name, context, dockerfile), remembered_hashes(program, name) as hashes:
        entries, left_out = read_entries(context, dockerfile, hashes)
        text = hashlib.sha256(dockerfile.read_bytes()).hexdigest()
    _prove_names(name, entries)
    tag = _tag(entries, platform, image.target or "", json.dumps(image.build_args, sort_keys=True), text)
    return Build(name, image, platform, context, dockerfile, entries, left_out, tag)


def _prove(image: str, path: Path, is_right: Callable[[Path], bool], otherwise: str) -> None:
    try:
        problem = None if is_right(path) else otherwise
    except OSError as error:  # the name is too long, or a parent folder may not be entered
        problem = f"cannot be read: {error.strerror}"
    if problem:
        raise BuildContextError(image=image, path=str(path), problem=problem)


@contextmanager
def _read_errors(image: str, context: Path, dockerfile: Path) -> Iterator[None]:
    """Convert errors from reading the files to a BuildContextError."""
    try:
        yield
    except ValueError as error:
        raise BuildContextError(
            image=image,
            path=str(ignore_file(context, dockerfile)),
            problem=f"has an invalid pattern: {error}",
            fix="correct that line",
        ) from error
    except OSError as error:
        raise BuildContextError(
            image=image,
            path=str(error.filename or context),  # the error of a failing disk has no file name
            problem=f"cannot be read: {error.strerror}",
            fix="make it readable, or exclude it with a line in .dockerignore",
        ) from error


def _prove_names(image: str, entries: tuple[ContextEntry, ...]) -> None:
    """Check that all names are UTF-8 (BuildKit's protobuf messages), and that the first fits a plain tar header."""
    problem = "has a name that is not UTF-8"
    wrong = next((entry for entry in entries if not _is_utf8(entry.path)), None)
    if wrong is None and not _fits_plain_header(entries[0]):
        wrong = entries[0]
        problem = (
            "is the first file of the build context, but its name, link target, size or time does not fit into a plain "
            "tar header, and the docker provider's archive has to start with one"
        )
    if wrong:
        raise BuildContextError(image=image, path=str(wrong.source), problem=problem, fix=_OTHER_NAME)


def _is_utf8(path: str) -> bool:
    return path.encode(errors="replace").decode() == path


def _fits_plain_header(first: ContextEntry) -> bool:
    """Return whether an entry fits into a plain tar header.

    BuildKit would mistake an archive that starts with an extended header for the text of a Dockerfile (isArchive): it
    checks the first 1,024 bytes, and an extended header (PAX) precedes the entry that it describes.
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
    """Add facts to the hash in an encoding that is unique for each list of facts."""
    for fact in facts:
        data = fact.encode(errors="surrogateescape")
        digest.update(len(data).to_bytes(8) + data)
    digest.update(bytes(8))
