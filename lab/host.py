"""Whether this machine can run a lab at all; asked by `make` before anything is installed (`python3 -m lab.host`)."""

import os
import sys

from lab.errors import LabError

_INSTEAD = "on a cluster of your own, `make up KUBE_CONTEXT=NAME` needs neither"


def check_machine() -> None:
    """Make sure that this machine can run a lab at all.

    Raises:
        LabError: it is not Linux, or we are not root.
    """
    if sys.platform != "linux":
        raise LabError(f"The lab runs on Linux only, because its nodes are network namespaces; {_INSTEAD}.")
    if os.geteuid() != 0:
        raise LabError(f"The lab has to run as root, because it makes network namespaces and mounts; {_INSTEAD}.")


if __name__ == "__main__":
    try:
        check_machine()
    except LabError as error:
        sys.exit(str(error))
