"""The push path as Pulumi's hooks: translation, no logic.

The engine runs hooks on the program's event loop, never in preview, and does not end them on Ctrl-C: each has a
hard bound. Hook names share one space per deployment, so they carry the component's name.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pulumi
from pulumi.resource import DependencyResource

from kube_registry.errors import KubeRegistryError, TookTooLongError
from kube_registry.limits import HOOK_SECONDS
from kube_registry.push.push_path import PushPath
from kube_registry.spec.phases import Phase, Say, marked

PUSH_FAILED = "error reading push output"
"""What the docker provider says of a failed push, and of nothing else (pulumi-docker provider/image.go)."""


PathOnceKnown = Callable[[], Awaitable[PushPath]]
"""Returns the one push path of a registry, once its cluster is known."""


def push_hooks(name: str, path_once_known: PathOnceKnown) -> pulumi.ResourceHookBinding:
    """Hooks that hold the push path while an image is built and pushed.

    Args:
        name: name of the component that binds them.
        path_once_known: the push path that all images of the registry share.
    """

    async def take(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("waiting to push"):
            path = await path_once_known()
            await path.take(args.urn, row(args.urn), (args.new_inputs or {})["imageName"])
            while path.remarks:
                row(args.urn, lasting=True)(Phase.PREFLIGHT, path.remarks.pop(0))

    async def give_back(args: pulumi.ResourceHookArgs) -> None:
        name, pushed = (args.new_inputs or {})["imageName"], (args.new_outputs or {})["repoDigest"]
        async with bounded("reading the image back"):
            path = await path_once_known()
            try:
                if remark := await path.read_back(args.urn, name, pushed, row(args.urn)):
                    row(args.urn, lasting=True)(Phase.READING_BACK, remark)
            finally:
                await path.give_back(args.urn)

    async def recover(args: pulumi.ErrorHookArgs) -> bool:
        cause = args.errors[0]
        async with bounded("mending a failed push"):
            path = await path_once_known()
            if PUSH_FAILED in cause:
                pulumi.log.info(f"the push failed: {cause}", DependencyResource(args.urn))
                if await path.recover(args.urn, row(args.urn, lasting=True)):
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


def when_ready(
    value: pulumi.Output[str], path_once_known: PathOnceKnown, resource: pulumi.Resource
) -> pulumi.Output[str]:
    """A value that is there once the registry runs, and the node proxy if there is one; in preview at once.

    It is asked on every update: an after hook would fail once and leave the next update green.

    Args:
        value: an output of what is to run, which orders the question behind that.
        path_once_known: the push path whose registry is meant.
        resource: on its row the waiting is told.
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
    """Let nothing take longer than HOOK_SECONDS.

    Raises:
        TookTooLongError: it did.
    """
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            yield
    except TimeoutError:
        raise TookTooLongError(doing=doing, seconds=HOOK_SECONDS) from None


def row(of: pulumi.Resource | str, *, lasting: bool = False) -> Say:
    """Writes on a resource's row while it is worked on, and below the rows at the end if that is to last.

    Args:
        of: the resource; its URN, which a hook has, while it is worked on: the program does not know it before the end.
        lasting: whether it is to last.
    """
    resource = DependencyResource(of) if isinstance(of, str) else of
    return lambda phase, text: pulumi.log.info(marked(phase, text), resource, ephemeral=not lasting)
