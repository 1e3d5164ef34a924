"""What the resource options of a component mean for resources beside it, which are no children of it."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi

from .settings import own_name

Aliases = list[pulumi.Input[str | pulumi.Alias]]
"""As Pulumi's resource option `aliases` has them."""


def brought(opts: pulumi.ResourceOptions | None, package: str) -> pulumi.ProviderResource | None:
    """The provider of a package that a component's options bring, or that their parent has for its children.

    Args:
        opts: the options.
        package: Pulumi's name of the package, such as docker.
    """
    if opts is None:
        return None
    listed = opts.providers or ()
    given = [*(listed.values() if isinstance(listed, Mapping) else listed), *([opts.provider] if opts.provider else [])]
    of_package = next((each for each in given if each.package == package), None)
    return of_package or (opts.parent.get_provider(f"{package}:index:Any") if opts.parent else None)


def with_providers(opts: pulumi.ResourceOptions | None, own: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Return a component's options with the providers of its children, of which `provider` is one.

    The SDK warns of a provider that is given both ways, and will refuse it (pulumi/pulumi#8799).
    """
    merged = pulumi.ResourceOptions.merge(opts, own)
    merged.provider = None
    return merged


def once_made(opts: pulumi.ResourceOptions | None) -> pulumi.Output[object] | None:
    """Return what is known once all is made that a component depends on; None where it depends on nothing."""
    if opts is None or not opts.depends_on:
        return None
    # The SDK's own, which waits for the children of components, too. Another version may call it otherwise.
    from pulumi.runtime._depends_on import _resolve_depends_on_urns  # noqa: PLC0415

    listed: Any = pulumi.ResourceOptions.merge(opts, None).depends_on  # a list, whatever it was
    return pulumi.Output.from_input(_resolve_depends_on_urns(listed))


def aliases_beside(name: str, opts: pulumi.ResourceOptions | None, usual: str) -> Aliases:
    """The former names of a resource beside a component that had another name, stack or project.

    Without them another provider would replace all that it has made, and the registry's cluster would be forgotten.

    Args:
        name: the component's name now.
        opts: its options.
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
