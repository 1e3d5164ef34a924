"""Check whether this machine can run the lab; `make` runs this before it installs anything (`python3 -m lab.host`)."""

import os
import sys

from lab.errors import LabError

_INSTEAD = "use your own cluster: `make up KUBE_CONTEXT=NAME` needs neither Linux nor root"


def check_machine() -> None:
    """Check that this machine can run the lab.

    Raises:
        LabError: it is not Linux, or the user is not root.
    """
    if sys.platform != "linux":
        raise LabError(f"The lab requires Linux, because its nodes are network namespaces. Fix: {_INSTEAD}")
    if os.geteuid() != 0:
        raise LabError(
            f"The lab requires root, because it creates network namespaces and mounts. Fix: run as root, or {_INSTEAD}"
        )


if __name__ == "__main__":
    try:
        check_machine()
    except LabError as error:
        sys.exit(str(error))
