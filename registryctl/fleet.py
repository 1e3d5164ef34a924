"""`registryctl fleet VERB`: one verb over many stacks."""

import typer

from registryctl import inventory, rollout

app = typer.Typer(no_args_is_help=True, help="Work with all stacks of fleet.yaml.", rich_markup_mode=None)
app.command()(inventory.init)
app.command("list")(inventory.list_stacks)
app.command()(inventory.status)
app.command()(rollout.up)
app.command()(rollout.preview)
app.command()(rollout.refresh)
app.command()(rollout.destroy)
