"""`.venv/bin/python -m registryctl VERB`: what a person does with a registry beside `pulumi up`."""

import signal
import sys


def main() -> None:
    """Run the command line; what goes wrong is one sentence, and Ctrl-C has no traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # These take a second, in which a Ctrl-C may come.
    from registryctl.verbs import app  # noqa: PLC0415
    from stack.errors import KubeRegistryError  # noqa: PLC0415

    try:
        app()
    except KubeRegistryError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
