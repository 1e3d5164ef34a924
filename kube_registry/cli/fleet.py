"""`registryctl fleet VERB`: one verb over many stacks."""

import typer

from kube_registry.cli import fleet_list, fleet_run

app = typer.Typer(no_args_is_help=True, help="Work with all stacks of fleet.yaml.", rich_markup_mode=None)
app.command()(fleet_list.init)
app.command("list")(fleet_list.list_stacks)
app.command()(fleet_list.status)
app.command()(fleet_run.up)
app.command()(fleet_run.preview)
app.command()(fleet_run.refresh)
app.command()(fleet_run.destroy)
