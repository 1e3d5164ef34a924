"""The files that decide what an update does: those of the Pulumi program, and those that its images are built from.

File system events only say that it is worth looking. Two snapshots of the files say whether anything has changed, so no
change is lost, whatever happens during an update or between two watchers.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kube_registry.build.build import read_build
from kube_registry.build.dockerignore import searched_folders
from kube_registry.build.errors import BuildContextError
from kube_registry.build.hash_cache import Hashes
from kube_registry.names import short_name
from kube_registry.spec.sections import ImageSettings

_SUFFIXES = frozenset(
    ".py .yaml .yml .json .toml .j2 .tmpl .tpl .ts .js .mjs .cjs .go .cs .java".split()  # noqa: SIM905 - on one line
)
"""Sources and data of a program. A file that changes with each update must not start the next one for ever: a log in
the program's folder, such as that of `registryctl dev > dev.log`. Temporary files of editors are none, either."""

_SKIPPED = frozenset(("__pycache__", "node_modules"))
_VIRTUALENV = "pyvenv.cfg"


@dataclass(frozen=True)
class ImageSource:
    """How an image is built, and where it belongs.

    Args:
        repository: its repository in the registry.
        settings: its settings.
        platform: its platform.
        urn: URN of the resource that builds it.
        registry: name of the ClusterRegistry; None for the only one.
        tag: its tag after the last update; None if it is unknown.
    """

    repository: str
    settings: ImageSettings
    platform: str
    urn: str
    registry: str | None
    tag: str | None

    def same_build(self, other: "ImageSource") -> bool:
        """Return whether both are built in the same way, whatever was deployed last."""
        return replace(self, tag=None) == replace(other, tag=None)


@dataclass(frozen=True)
class Files:
    """The files of the program or of one image at one moment.

    Args:
        tag: changes with the files; the tag of an image, or why its files cannot be read.
        stamps: path -> facts that change with the file.
        folders: folders in which a new file may belong to them.
    """

    tag: str
    stamps: Mapping[str, object]
    folders: frozenset[Path]


@dataclass(frozen=True)
class Snapshot:
    """All files of a stack at one moment.

    Args:
        program: the files of the program.
        images: name -> files of an image.
    """

    program: Files
    images: Mapping[str, Files]

    @property
    def folders(self) -> frozenset[Path]:
        """The folders to watch."""
        return self.program.folders.union(*(files.folders for files in self.images.values()))


def take_snapshot(roots: Sequence[Path], stack: str, images: Mapping[str, ImageSource], hashes: Hashes) -> Snapshot:
    """Read the current files of a stack.

    Args:
        roots: the folder of Pulumi.yaml, then the folder of the program if it is another one.
        stack: name of the stack; the config of other stacks does not belong to it.
        images: name -> how an image is built; build contexts are relative to the first root.
        hashes: hashes of the program's files from an earlier snapshot; gets those of this one.
    """
    found = {name: image_files(roots[0], source) for name, source in images.items()}
    contexts = {_context(roots[0], source.settings).resolve() for source in images.values()}
    return Snapshot(program_files(roots, stack, contexts, hashes), found)


def changes(before: Snapshot, after: Snapshot, folder: Path) -> list[str]:
    """Return what differs between two snapshots: paths relative to a folder, or the name of an image."""
    paths, images = _differing(before.program, after.program), set[str]()
    for name in before.images.keys() | after.images.keys():
        old, new = before.images.get(name), after.images.get(name)
        if old and new and old.tag == new.tag:
            continue
        differing = _differing(old, new) if old and new and old.stamps and new.stamps else set()
        paths |= differing
        images |= set() if differing else {f"image {name}"}  # its settings have changed, or its files are unknown
    return sorted({os.path.relpath(path, folder) for path in paths} | images)


def _differing(old: Files, new: Files) -> set[str]:
    paths = old.stamps.keys() | new.stamps.keys()
    return {path for path in paths if old.stamps.get(path) != new.stamps.get(path)}


def program_files(roots: Iterable[Path], stack: str, contexts: Iterable[Path], hashes: Hashes) -> Files:
    """Return the files of a program: its sources and data, except what only belongs to a build context.

    Args:
        roots: folders of the program.
        stack: name of the stack.
        contexts: the build contexts, with all links resolved. One that contains a root contains the program, too.
        hashes: see `take_snapshot`.
    """
    roots = [root.resolve() for root in roots]
    skipped = {context for context in contexts if not any(root.is_relative_to(context) for root in roots)}
    own_config = f"Pulumi.{short_name(stack)}.yaml"
    stamps, folders = {}, set()
    for root in roots:
        for folder, names in _walk(root, skipped):
            folders.add(folder)
            for name in names:
                other = name.startswith("Pulumi.") and name not in ("Pulumi.yaml", own_config)
                if not other and Path(name).suffix in _SUFFIXES and not name.startswith("."):
                    stamps[str(folder / name)] = _content(folder / name, hashes)
    return Files("", {path: stamp for path, stamp in stamps.items() if stamp}, frozenset(folders))


def _walk(root: Path, skipped: set[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder of a program with the names of its files; not virtualenvs, and nothing hidden or generated."""
    for path, below, names in os.walk(root):
        folder = Path(path)
        if folder != root and (folder in skipped or _VIRTUALENV in names):
            below.clear()
            continue
        below[:] = [name for name in below if not name.startswith(".") and name not in _SKIPPED]
        yield folder, names


def _content(file: Path, hashes: Hashes) -> str | None:
    """Return the hash of a file: a program that writes the same file in each run must not start the next one."""
    try:
        return hashes.sha256(str(file), file, file.stat())
    except OSError:
        return None


def image_files(folder: Path, source: ImageSource) -> Files:
    """Return the files that an image is built from; the ignore file is respected.

    Args:
        folder: folder that the build context is relative to.
        source: how it is built.
    """
    context = _context(folder, source.settings)
    named = context / source.settings.dockerfile
    dockerfile = named.parent.resolve() / named.name
    folders = {*_existing(context), *_existing(context.resolve()), *_existing(dockerfile.parent)}
    try:
        folders |= set(searched_folders(context.resolve(), dockerfile))
        build = read_build(source.repository, source.settings, source.platform, folder)
    except (BuildContextError, ValueError, OSError) as error:
        return Files(str(error), {}, frozenset(folders))
    stamps = {str(entry.source): (entry.kind, entry.mode, entry.value) for entry in build.entries}
    return Files(build.tag, stamps, frozenset(folders))


def deployed_files(folder: Path, source: ImageSource) -> Files:
    """Return the files of an image of which an update has reported only the tag; none if they have changed since."""
    now = image_files(folder, source)
    return now if source.tag in (None, now.tag) else Files(str(source.tag), {}, frozenset())


def _context(folder: Path, settings: ImageSettings) -> Path:
    return (folder / (settings.context or ".")).absolute()


def _existing(folder: Path) -> Iterator[Path]:
    """Yield a folder, or the nearest parent that can be read, and its parent, which shows its replacement."""
    readable = (each for each in (folder, *folder.parents) if os.access(each, os.R_OK))  # is_dir() may raise OSError
    existing = next(each for each in readable if each.is_dir())
    yield existing
    yield existing.parent
