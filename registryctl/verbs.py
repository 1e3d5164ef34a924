"""The verbs, each a file of its own."""

import typer

from registryctl import fleet
from registryctl.doctor import doctor
from registryctl.gc import gc
from registryctl.images import images
from registryctl.preflight import preflight
from registryctl.preview import preview
from registryctl.reference import reference
from registryctl.status import status
from registryctl.tunnel import tunnel
from registryctl.verify import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(tunnel)
app.command()(preflight)
app.command()(status)
app.command()(images)
app.command()(gc)
app.command()(verify)
app.command()(doctor)
app.command()(reference)
app.command()(preview)
app.add_typer(fleet.app, name="fleet")


@app.callback()
def about() -> None:
    """Work with the registry of one cluster, or with those of a fleet."""
