"""`registryctl COMMAND`: run one of the commands in this folder."""

import io
import signal
import sys


def main(name: str = "registryctl") -> None:
    """Run the command line. An error is printed as one sentence; Ctrl-C prints no traceback.

    Args:
        name: name of the program in its help.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error: a terminal may lack a letter
    # These imports take a second, in which Ctrl-C may be pressed.
    from kube_registry.cli.verbs import app  # noqa: PLC0415
    from kube_registry.errors import KubeRegistryError  # noqa: PLC0415
    from kube_registry.text import for_stream  # noqa: PLC0415

    try:
        app(prog_name=name)
    except KubeRegistryError as error:
        sys.exit(for_stream(str(error), sys.stderr))
