"""`python -m registryctl VERB`: what a person does with a registry beside `pulumi up`. Each verb is a file."""

import signal
import sys

import typer

from registryctl.tunnel import tunnel
from stack.errors import KubeRegistryError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(tunnel)


@app.callback()
def about() -> None:
    """Work by hand with the registry of one cluster."""


def main() -> None:
    """Run the command line; what goes wrong is one sentence."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # where a verb has nothing to close, Ctrl-C has no traceback either
    try:
        app()
    except KubeRegistryError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
