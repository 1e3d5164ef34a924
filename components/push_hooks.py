"""The push path as Pulumi hooks.

The engine runs hooks on the program's event loop, never in a preview, and does not stop them on Ctrl-C. Each hook
therefore has a time limit. Hook names must be unique in a deployment, so they contain the component's name.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import pulumi
from pulumi.resource import DependencyResource

from kube_registry.errors import KubeRegistryError, TookTooLongError
from kube_registry.limits import HOOK_SECONDS
from kube_registry.push.push_path import PushPath
from kube_registry.spec.phases import Phase, Say, marked

PUSH_FAILED = "error reading push output"
"""The docker provider's message for a failed push, and only for that (pulumi-docker provider/image.go)."""

_NO_DIGEST = (
    "a warning about the digest is expected with Docker's containerd image store, which reports none after a push; the "
    "registry has the image under this digest"
)

PathOnceKnown = Callable[[], Awaitable[PushPath]]
"""Returns the one push path of a registry, once its cluster is known."""


def push_hooks(name: str, path_once_known: PathOnceKnown, push_names: Collection[str]) -> pulumi.ResourceHookBinding:
    """Return hooks that keep the push path open while an image is built and pushed.

    Args:
        name: name of the component that binds the hooks.
        path_once_known: returns the push path that all images of the registry share.
        push_names: the names that this program pushes its images by; the program adds them as it declares images.
    """

    async def take(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("waiting to push"):
            path = await path_once_known()
            await path.take(args.urn, row(args.urn), (args.new_inputs or {})["imageName"])
            while path.remarks:
                row(args.urn, lasting=True)(Phase.PREFLIGHT, path.remarks.pop(0))

    async def give_back(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("reading the image back"):
            path = await path_once_known()
            try:
                await _conclude(path, args, push_names)
            finally:
                await path.give_back(args.urn)

    async def recover(args: pulumi.ErrorHookArgs) -> bool:
        cause = args.errors[0]
        async with bounded("recovering from a failed push"):
            path = await path_once_known()
            if PUSH_FAILED in cause:
                pulumi.log.info(f"the push failed: {cause}", DependencyResource(args.urn))
                if await path.recover(args.urn, row(args.urn, lasting=True)):
                    return True
            await path.give_back(args.urn)
            return False

    before = pulumi.ResourceHook(f"{name}:take", take)
    after = pulumi.ResourceHook(f"{name}:give-back", give_back)
    # No delete hooks: `pulumi destroy` does not run the program, and fails if a resource in the state has one.
    return pulumi.ResourceHookBinding(
        before_create=[before],
        before_update=[before],
        after_create=[after],
        after_update=[after],
        on_error=[pulumi.ErrorHook(f"{name}:recover", recover)],
    )


async def _conclude(path: PushPath, args: pulumi.ResourceHookArgs, push_names: Collection[str]) -> None:
    """Read a pushed image back, then remove the tag that it had before, and print their remarks."""
    name, pushed = (args.new_inputs or {})["imageName"], (args.new_outputs or {})["repoDigest"]
    before = (args.old_inputs or {}).get("imageName")
    say = row(args.urn, lasting=True)
    if remark := await path.read_back(args.urn, name, pushed, row(args.urn)):
        say(Phase.READING_BACK, remark)
    if not path.reports_digests:
        say(Phase.READING_BACK, _NO_DIGEST)
    if remark := await path.remove_superseded(before, push_names):
        say(Phase.READING_BACK, remark)


def ready_first(name: str, path_once_known: PathOnceKnown) -> pulumi.ResourceOptions:
    """Return the option that a resource is updated only once the registry and the node proxy are ready.

    Args:
        name: name of the component that binds the hook.
        path_once_known: returns the push path of the registry.
    """

    async def wait(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("waiting for the node proxy"):
            await (await path_once_known()).ready(row(args.urn))

    hook = pulumi.ResourceHook(f"{name}:ready-first", wait)
    return pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(before_update=[hook]))


def when_ready(
    value: pulumi.Output[str], path_once_known: PathOnceKnown, resource: pulumi.Resource
) -> pulumi.Output[str]:
    """Return a value that is known when the registry and the node proxy, if any, are ready; in a preview at once.

    Every update performs this check. An after hook would fail only once: the next update would succeed.

    Args:
        value: an output of the resources to wait for, so that the check runs after their creation.
        path_once_known: returns the push path of the registry.
        resource: the resource on whose row the wait is shown.
    """

    async def ready(known: str) -> str:
        if not pulumi.runtime.is_dry_run():
            try:
                async with bounded("waiting for the registry"):
                    await (await path_once_known()).ready(row(resource))
            except KubeRegistryError as error:
                raise pulumi.RunError(str(error)) from error
        return known

    return value.apply(ready)


@asynccontextmanager
async def bounded(doing: str) -> AsyncIterator[None]:
    """Limit the duration of a block to HOOK_SECONDS.

    Raises:
        TookTooLongError: the block timed out.
    """
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            yield
    except TimeoutError:
        raise TookTooLongError(doing=doing, seconds=HOOK_SECONDS) from None


def row(resource: pulumi.Resource | str, *, lasting: bool = False) -> Say:
    """Return a function that prints a progress line on a resource's row.

    Args:
        resource: the resource, or its URN. Hooks have only the URN, because the program gets the resource later.
        lasting: whether Pulumi prints the line again at the end.
    """
    shown_on = DependencyResource(resource) if isinstance(resource, str) else resource
    return lambda phase, text: pulumi.log.info(marked(phase, text), shown_on, ephemeral=not lasting)
