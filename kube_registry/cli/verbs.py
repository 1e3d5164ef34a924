"""The verbs, each a file of its own."""

import typer

from kube_registry.cli import fleet
from kube_registry.cli.doctor import doctor
from kube_registry.cli.gc import gc
from kube_registry.cli.images import images
from kube_registry.cli.preflight import preflight
from kube_registry.cli.reference import reference
from kube_registry.cli.review import preview
from kube_registry.cli.status import status
from kube_registry.cli.tunnel import tunnel
from kube_registry.cli.verify import verify

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
