"""The holder of a lock that `pulumi` has found."""

import re
import socket

import psutil

from kube_registry.engine.errors import StackLockedError

_HOLDER = re.compile(r"created by (?P<who>.+?)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
"""How `pulumi` names the holder of a lock in a self-managed backend (pulumi/pulumi pkg/backend/diy/lock.go)."""

_WAIT = "wait until that update has finished, then try again"


def locked(stack: str, printed: str, release: str) -> StackLockedError:
    """Return the error for a stack that another update has locked.

    The fix releases the lock only if its process was on this machine and no longer exists. The update of any other
    lock may still be running.

    Args:
        stack: name of the stack.
        printed: what `pulumi` has printed, in one line.
        release: the command that releases the lock.
    """
    found = _HOLDER.search(printed)
    if not found:
        return StackLockedError(stack, "another update, whose owner the backend does not name", _WAIT)
    holder = f"{found['who']}@{found['host']} (pid {found['pid']}) since {found['since']}"
    gone = found["host"] == socket.gethostname() and not psutil.pid_exists(int(found["pid"]))
    return StackLockedError(stack, holder, f"`{release}`, as that process no longer exists" if gone else _WAIT)
