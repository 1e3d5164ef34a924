"""Who holds a stack that `pulumi` finds locked."""

import re
import socket

import psutil

from kube_registry.engine.errors import StackLockedError

_HOLDER = re.compile(r"created by (?P<who>.+?)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
"""How `pulumi` names the holder of a lock in a backend of its own (pulumi/pulumi pkg/backend/diy/lock.go)."""

_WAIT = "wait until that update has ended, then run this again"


def locked(stack: str, said: str, release: str) -> StackLockedError:
    """The error of a stack that another update holds.

    Only a lock whose process was on this machine and is gone is offered for release: any other one belongs to an update
    that may be running.

    Args:
        stack: name of the stack.
        said: what `pulumi` printed, in one line.
        release: the command that releases the lock.
    """
    found = _HOLDER.search(said)
    if not found:
        return StackLockedError(stack, "another update, which the backend does not name", _WAIT)
    holder = f"{found['who']}@{found['host']} (pid {found['pid']}) since {found['since']}"
    gone = found["host"] == socket.gethostname() and not psutil.pid_exists(int(found["pid"]))
    return StackLockedError(stack, holder, f"that process is gone; run `{release}`" if gone else _WAIT)
