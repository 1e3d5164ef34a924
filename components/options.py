"""Apply the resource options of a component to resources that belong to it but are not its children."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi

from .settings import own_name

Aliases = list[pulumi.Input[str | pulumi.Alias]]
"""The type of Pulumi's resource option `aliases`."""


def brought(opts: pulumi.ResourceOptions | None, package: str) -> pulumi.ProviderResource | None:
    """Return the provider of a package from a component's options or from its parent, or None.

    Args:
        opts: the resource options.
        package: Pulumi's name of the package, such as docker.
    """
    if opts is None:
        return None
    listed = opts.providers or ()
    given = [*(listed.values() if isinstance(listed, Mapping) else listed), *([opts.provider] if opts.provider else [])]
    of_package = next((each for each in given if each.package == package), None)
    return of_package or (opts.parent.get_provider(f"{package}:index:Any") if opts.parent else None)


def with_providers(opts: pulumi.ResourceOptions | None, own: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return a component's options with the providers of its children, and without `provider`.

    The SDK warns if a provider is given in both options, and will reject it (pulumi/pulumi#8799).
    """
    merged = pulumi.ResourceOptions.merge(opts, own)
    merged.provider = None
    return merged


def once_made(opts: pulumi.ResourceOptions | None) -> pulumi.Output[object] | None:
    """Return an output that is resolved when all dependencies of a component are created; None without dependencies."""
    if opts is None or not opts.depends_on:
        return None
    # A private function of the SDK, which also waits for children of components; other versions may rename it.
    from pulumi.runtime._depends_on import _resolve_depends_on_urns  # noqa: PLC0415

    listed: Any = pulumi.ResourceOptions.merge(opts, None).depends_on  # always a list
    return pulumi.Output.from_input(_resolve_depends_on_urns(listed))


def aliases_beside(name: str, opts: pulumi.ResourceOptions | None, usual: str) -> Aliases:
    """Return the aliases of a resource that belongs to a component with another former name, stack or project.

    Without them a new provider would replace all its resources, and the stored uid of the cluster would be lost.

    Args:
        name: current name of the component.
        opts: its resource options.
        usual: the usual name of the resource (settings.own_name).
    """
    return [_beside(name, alias, usual) for alias in (opts.aliases if opts else None) or []]


def _beside(name: str, alias: pulumi.Input[str | pulumi.Alias], usual: str) -> pulumi.Input[str | pulumi.Alias]:
    if isinstance(alias, pulumi.Alias):
        former = alias.name if isinstance(alias.name, str) else name
        return pulumi.Alias(name=own_name(former, usual), stack=alias.stack, project=alias.project)
    if isinstance(alias, str):
        stack, project, _, former = alias.removeprefix("urn:pulumi:").split("::", maxsplit=3)
        return pulumi.Alias(name=own_name(former, usual), stack=stack, project=project)
    later: pulumi.Output[str | pulumi.Alias] = pulumi.Output.from_input(cast("Any", alias))
    return later.apply(lambda known: _beside(name, known, usual))
