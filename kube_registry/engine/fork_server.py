"""The fork server: a process that has imported Pulumi's SDKs, and forks a child for each run of a Pulumi program.

The Python of the program's virtualenv runs this file as a script, because that virtualenv may have another version of
kube_registry, or none: `python -P fork_server.py FOLDER`. FOLDER is the folder of the program. Standard input is a
listening Unix socket; each connection to it is one run (kube_registry/engine/forked_run.py). The server ends when the
reader of its standard output is gone.

The server imports no module of the program, and has no thread, event loop or gRPC channel, because a fork copies none
of them. If a file that it has loaded or its virtualenv has changed, the server executes itself again before the next
fork.
"""

import gc
import importlib
import importlib.util
import os
import pkgutil
import select
import signal
import site
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

Stamp: TypeAlias = tuple[int, int, int] | None
"""Modification time in nanoseconds, size and inode of a file; None if it is missing, or changed while it was read."""

_ROOT = Path(__file__).resolve().parents[2]
_SDKS = ("pulumi", "pulumi_docker", "pulumi_kubernetes")
_ON_FIRST_USE = (
    "grpc.experimental",
    "pulumi_kubernetes.meta.v1",
    "pulumi_kubernetes.networking.v1",
    "kube_registry.push.session",
    "kube_registry.docker_daemon.reach",
    "kube_registry.kube.kubeconfig",
)
"""Modules that the SDKs and components import only when they are needed; together they take a second."""


def main(folder: Path, waiting: int | None) -> None:
    """Import everything, then fork a child for each connection.

    Args:
        folder: folder of the program.
        waiting: file descriptor of a connection that was accepted before the server executed itself again.
    """
    began = time.time_ns()
    forked_run = _private("kube_registry.engine.forked_run")
    preload(folder)
    if _threads() > 1:
        sys.stderr.write("a library has started a thread when it was imported, so a fork is not safe\n")
        sys.stderr.flush()
        os._exit(1)  # sys.exit() would wait for the thread
    loaded = {file: _unless_newer(stamp, began) for file, stamp in _stamps(_loaded()).items()}
    gc.collect()
    gc.freeze()  # a collection would write to every page that the children share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes children that have ended
    if waiting is not None:
        _fork(forked_run, socket.socket(fileno=waiting))
    for connection in _connections():
        if _stamps(loaded) != loaded:
            os.set_inheritable(connection.fileno(), True)  # noqa: FBT003 - has no keyword
            os.execv(sys.executable, [sys.executable, "-P", __file__, str(folder), str(connection.fileno())])  # noqa: S606
        _fork(forked_run, connection)


def preload(folder: Path) -> None:
    """Import Pulumi's SDKs, and the modules of kube-registry if the program can import them.

    A module that cannot be imported is left out: the run imports it again and reports the error.
    """
    _import(*_SDKS)
    sys.path.insert(0, str(folder))
    _import(*_ON_FIRST_USE, *_components())
    sys.path.remove(str(folder))
    if shadowing := _program_modules(folder):
        sys.exit(f"{shadowing[0]} of the program has the name of a library")


def _loaded() -> list[str]:
    """Return the files of everything that was loaded, and what changes with the virtualenv."""
    return [*_files().values(), sys.executable, str(Path(sys.prefix) / "pyvenv.cfg"), *site.getsitepackages()]


def _files() -> dict[str, str]:
    """Return the files of the imported modules, by the names of the modules."""
    found = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {name: str(file) for name, file in found.items() if file}


def _stamps(files: Iterable[str]) -> dict[str, Stamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: str) -> Stamp:
    try:
        found = os.stat(file)  # noqa: PTH116 - of thousands of files before each run
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unless_newer(stamp: Stamp, began: int) -> Stamp:
    """Return the stamp; None if the file changed after the imports began, so that its old text may have been read."""
    return None if stamp and began <= stamp[0] <= time.time_ns() else stamp


def _import(*names: str) -> None:
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def _program_modules(folder: Path) -> list[str]:
    """Return the modules of the program that were imported, which are new in every run."""
    ours, virtualenv = ("kube_registry", "components"), Path(sys.prefix)
    files = {name: Path(file) for name, file in _files().items() if name.split(".")[0] not in ours and file != __file__}
    return [name for name, file in files.items() if folder in file.parents and virtualenv not in file.parents]


def _components() -> Iterator[str]:
    """Yield the modules of kube-registry's components, which are part of the wheel, or next to it in a checkout."""
    ours = importlib.util.find_spec("kube_registry")
    if not ours or not ours.origin:
        return
    package = Path(ours.origin).parent
    folder, prefix = package / "components", "kube_registry.components."
    if not folder.is_dir():
        folder, prefix = package.parent / "components", "components."
    found = pkgutil.iter_modules([str(folder)], prefix) if (folder / "cluster_registry.py").exists() else ()
    yield from (module.name for module in found if not module.name.endswith(".__main__"))


def _private(name: str) -> ModuleType:
    """Import a module from the package of this file, and forget the package, so that the program imports its own."""
    sys.path.insert(0, str(_ROOT))
    module = importlib.import_module(name)
    sys.path.remove(str(_ROOT))
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == "kube_registry"]:
        del sys.modules[loaded]
    return module


def _threads() -> int:
    """Return the number of threads, including those that Python did not start."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def _connections() -> Iterator[socket.socket]:
    """Yield each connection until the reader of standard output is gone."""
    listener, poll = socket.socket(fileno=0), select.poll()
    poll.register(0, select.POLLIN)
    poll.register(1, 0)  # reports only that the reader is gone
    while 1 not in (ready := dict(poll.poll())):
        if 0 in ready:
            yield listener.accept()[0]


def _fork(forked_run: ModuleType, connection: socket.socket) -> None:
    if os.fork() == 0:
        forked_run.serve(connection)
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)  # noqa: PLR2004 - the two arguments
