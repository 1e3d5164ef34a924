"""Import the commands of registryctl, and fork a child for each message; see tests/forks.py, which starts this file.

A child waits for another one, which runs the command, and kills it if the other end of the connection is closed.
"""

import gc
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from importlib import import_module
from typing import Any

_MOST_BYTES = 2**20


def serve(listener: socket.socket) -> list[str]:
    """Fork for each message; return only in the children that run a command: its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes children that have ended
    while True:
        message, files, _, _ = socket.recv_fds(listener, _MOST_BYTES, 4)
        if not message:
            sys.exit()
        if os.fork() == 0:
            listener.close()
            return _command(json.loads(message), *files)
        for file in files:
            os.close(file)


def _command(asked: dict[str, Any], connection: int, *standard: int) -> list[str]:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = os.fork()
    if command:
        _wait(command, socket.socket(fileno=connection))
    os.close(connection)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["env"])
    return list(asked["words"])


def _wait(command: int, connection: socket.socket) -> None:
    ended = os.pidfd_open(command)
    ready, _, _ = select.select([ended, connection.fileno()], [], [])
    if ended not in ready:
        os.kill(command, signal.SIGKILL)
    _, status = os.waitpid(command, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def main(folder: str, listener: int) -> None:
    """Serve, and run the command in the children."""
    sys.path.insert(0, folder)
    commands = import_module("kube_registry.cli")
    for module in pkgutil.iter_modules(commands.__path__, "kube_registry.cli."):
        import_module(module.name)
    run = import_module("kube_registry.cli.app").main
    gc.collect()
    gc.freeze()  # a collection would write to every page that the children share
    sys.argv = [f"{folder}/registryctl.py", *serve(socket.socket(fileno=listener))]
    run("python -m registryctl")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
