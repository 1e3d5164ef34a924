"""The push path as Pulumi's hooks: translation, no logic.

The engine runs hooks on the program's event loop, never in preview, and does not end them on Ctrl-C: each has a
hard bound. Hook names share one space per deployment, so they carry the component's name.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pulumi
from pulumi.resource import DependencyResource

from kube_registry.docker_daemon.daemon import prove_daemon
from kube_registry.errors import KubeRegistryError, TookTooLongError
from kube_registry.limits import HOOK_SECONDS
from kube_registry.push.push_path import PushPath
from kube_registry.spec.phases import Phase, Say, marked
from kube_registry.spec.settings import Settings

PUSH_FAILED = "error reading push output"
"""What the docker provider says of a failed push, and of nothing else (pulumi-docker provider/image.go)."""

NODE_PORT_REFUSED = "nodePort: Invalid value"
"""What the API server says of a node port that is taken or out of range (kubernetes pkg/registry/core/service)."""


def prove_preconditions(settings: Settings) -> None:
    """Ask, before anything is registered, whether the Docker daemon and, outside preview, the cluster answer.

    Blocks, in a thread's own event loop: nothing else goes on yet, and a run that fails here has made nothing.

    Raises:
        KubeRegistryError: one of them does not.
    """
    live = not pulumi.runtime.is_dry_run()

    async def ask() -> None:
        async with bounded("looking for the Docker daemon and the cluster"):
            await prove_daemon(os.environ)
            if live:
                from kube_registry.registry.preconditions import prove_reach  # noqa: PLC0415 - a second that no preview needs

                await prove_reach(settings)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, ask()).result()


def push_hooks(name: str, path: PushPath) -> pulumi.ResourceHookBinding:
    """Hooks that hold the push path while an image is built and pushed.

    Args:
        name: name of the component that binds them.
        path: the push path that all images of the stack share.
    """

    async def take(args: pulumi.ResourceHookArgs) -> None:
        async with bounded("waiting to push"):
            await path.take(args.urn, row(args.urn), (args.new_inputs or {})["imageName"])
            while path.remarks:
                row(args.urn, lasting=True)(Phase.PREFLIGHT, path.remarks.pop(0))

    async def give_back(args: pulumi.ResourceHookArgs) -> None:
        name, pushed = (args.new_inputs or {})["imageName"], (args.new_outputs or {})["repoDigest"]
        async with bounded("reading the image back"):
            try:
                if remark := await path.read_back(args.urn, name, pushed, row(args.urn)):
                    row(args.urn, lasting=True)(Phase.READING_BACK, remark)
            finally:
                await path.give_back(args.urn)

    async def recover(args: pulumi.ErrorHookArgs) -> bool:
        cause = args.errors[0]
        async with bounded("mending a failed push"):
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


def namespace_hooks(name: str, settings: Settings) -> pulumi.ResourceHookBinding:
    """A hook that keeps the registry's namespace from being one that is somebody else's.

    Args:
        name: name of the component that binds it.
        settings: the stack.
    """

    async def prove(args: pulumi.ResourceHookArgs) -> None:
        from kube_registry.registry.preconditions import prove_namespace_free  # noqa: PLC0415 - a second that no preview needs

        await prove_namespace_free(settings, import_line(args))

    return _before_create(f"{name}:namespace", "looking for the namespace", prove)


def hosting_hooks(name: str, settings: Settings) -> pulumi.ResourceHookBinding:
    """A hook that keeps what tools are told of a cluster's registry from being overwritten.

    Args:
        name: name of the component that binds it.
        settings: the stack.
    """

    async def prove(_: pulumi.ResourceHookArgs) -> None:
        from kube_registry.registry.preconditions import prove_hosting_free  # noqa: PLC0415 - a second that no preview needs

        await prove_hosting_free(settings)

    return _before_create(f"{name}:hosting", "looking for what tools are told of a registry", prove)


def service_hooks(name: str, settings: Settings) -> pulumi.ResourceHookBinding:
    """A hook that explains why the registry's node port was refused.

    Args:
        name: name of the component that binds it.
        settings: the stack.
    """

    async def explain(args: pulumi.ErrorHookArgs) -> bool:
        if NODE_PORT_REFUSED in args.errors[0]:
            from kube_registry.registry.preconditions import explain_node_port  # noqa: PLC0415 - a second that no preview needs

            async with bounded("asking who has the node port"):
                error = await explain_node_port(settings, args.errors[0])
            pulumi.log.error(str(error), DependencyResource(args.urn))
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}:node-port", explain)])


def when_ready(value: pulumi.Output[str], path: PushPath, resource: pulumi.Resource) -> pulumi.Output[str]:
    """A value that is there once the registry runs, and the node proxy if there is one; in preview at once.

    It is asked on every update: an after hook would fail once and leave the next update green.

    Args:
        value: an output of what is to run, which orders the question behind that.
        path: the push path whose registry is meant.
        resource: on its row the waiting is told.
    """

    async def ready(known: str) -> str:
        if not pulumi.runtime.is_dry_run():
            try:
                async with bounded("waiting for the registry"):
                    await path.ready(row(resource))
            except KubeRegistryError as error:
                raise pulumi.RunError(str(error)) from error
        return known

    return value.apply(ready)


def _before_create(
    hook: str, doing: str, prove: Callable[[pulumi.ResourceHookArgs], Awaitable[None]]
) -> pulumi.ResourceHookBinding:
    """A hook that lets a resource be made once something is proven."""

    async def proven(args: pulumi.ResourceHookArgs) -> None:
        async with bounded(doing):
            await prove(args)

    return pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook(hook, proven)])


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


def import_line(args: pulumi.ResourceHookArgs) -> str:
    """The line that takes an object over which is there already.

    Args:
        args: what the hook was called with for the resource that would have been created.
    """
    stack, _, types, name = args.urn.removeprefix("urn:pulumi:").split("::")
    *parents, token = types.split("$")
    parent = f"urn:pulumi:{stack}::{pulumi.get_project()}::{'$'.join(parents)}::{name.rpartition('-')[0]}"
    provider = f"urn:pulumi:{stack}::{pulumi.get_project()}::pulumi:providers:kubernetes::cluster"
    object_name = (args.new_inputs or {})["metadata"]["name"]
    options = f"--parent registry='{parent}' --provider cluster='{provider}' --protect=false --generate-code=false"
    return f"pulumi import {token} {name} {object_name} {options}"
