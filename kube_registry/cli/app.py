"""`registryctl VERB`: what a person does with a registry beside `pulumi up`."""

import signal
import sys


def main(name: str = "registryctl") -> None:
    """Run the command line; what goes wrong is one sentence, and Ctrl-C has no traceback.

    Args:
        name: what its help calls it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # These take a second, in which a Ctrl-C may come.
    from kube_registry.cli.verbs import app  # noqa: PLC0415
    from kube_registry.errors import KubeRegistryError  # noqa: PLC0415
    from kube_registry.text import shown  # noqa: PLC0415

    try:
        app(prog_name=name)
    except KubeRegistryError as error:
        sys.exit(shown(str(error), sys.stderr))
