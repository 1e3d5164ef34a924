"""The push path as Pulumi's hooks: translation, no logic.

The engine runs hooks on the program's event loop, never in preview, and does not end them on Ctrl-C: each has a
hard bound. Hook names share one space per deployment, so they carry the component's name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pulumi
from pulumi.resource import DependencyResource

from cluster.push import PushPath, Say
from stack.errors import KubeRegistryError, TookTooLongError

HOOK_SECONDS = 180.0
"""The longest that one hook may take: more than the waits inside it, less than anybody's patience."""

PUSH_FAILED = "error reading push output"
"""What the docker provider says of a failed push, and of nothing else (pulumi-docker provider/image.go)."""


def push_hooks(name: str, path: PushPath) -> pulumi.ResourceHookBinding:
    """Hooks that hold the push path while an image is built and pushed.

    Args:
        name: name of the component that binds them.
        path: the push path that all images of the stack share.
    """

    async def take(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("waiting to push"):
            await path.take(args.urn, row(args.urn))

    async def give_back(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("closing the tunnel"):
            await path.give_back(args.urn)

    async def recover(args: pulumi.ErrorHookArgs) -> bool:
        cause = args.errors[0]
        async with bounded("mending a failed push"):
            if PUSH_FAILED in cause:
                pulumi.log.info(f"the push failed: {cause}", DependencyResource(args.urn))
                if await path.recover(args.urn, row(args.urn)):
                    return True
            await path.give_back(args.urn)
            return False

    before = pulumi.ResourceHook(f"{name}:take", take)
    after = pulumi.ResourceHook(f"{name}:give-back", give_back)
    return pulumi.ResourceHookBinding(
        before_create=[before],
        before_update=[before],
        after_create=[after],
        after_update=[after],
        on_error=[pulumi.ErrorHook(f"{name}:recover", recover)],
    )


def when_ready(value: pulumi.Output[str], path: PushPath, resource: pulumi.Resource) -> pulumi.Output[str]:
    """A value that is there once the registry runs; in preview at once.

    It is asked on every update: an after hook would fail once and leave the next update green.

    Args:
        value: an output of the Deployment, which orders the question behind it.
        path: the push path whose registry is meant.
        resource: on its row the waiting is told.
    """

    async def ready(known: str) -> str:
        if not pulumi.runtime.is_dry_run():
            try:
                async with bounded("waiting for the registry"):
                    await path.ready(lambda line: pulumi.log.info(line, resource, ephemeral=True))
            except KubeRegistryError as error:
                raise pulumi.RunError(str(error)) from error
        return known

    return value.apply(ready)


@asynccontextmanager
async def bounded(doing: str) -> AsyncIterator[None]:
    """Let nothing take longer than HOOK_SECONDS.

    Raises:
        TookTooLongError: it did.
    """
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            yield
    except TimeoutError:
        raise TookTooLongError(doing=doing, seconds=HOOK_SECONDS) from None


def row(urn: str) -> Say:
    """Writes on a resource's row while it is worked on.

    The resource itself cannot be named then: its URN is not known to the program before the work is done.
    """
    resource = DependencyResource(urn)
    return lambda line: pulumi.log.info(line, resource, ephemeral=True)
