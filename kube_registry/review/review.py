"""What a change would do to every stack of a fleet, for its reviewer. Nothing is deployed.

Pulumi's own preview ignores a cluster that does not respond, so each cluster is checked first.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kube_registry.build.build import read_builds
from kube_registry.concurrency import map_limited
from kube_registry.engine.program import Program
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.fleet_file import Member
from kube_registry.housekeeping.health import unreached
from kube_registry.review.changes import Changed, changed_files
from kube_registry.review.stack_preview import DELETED, SAME, Change, Preview, read_preview, read_secrets
from kube_registry.rules.rules import Allowed, Violation, violations_of


@dataclass(frozen=True)
class ImageChange:
    """One image of a stack, before and after.

    Args:
        name: its name in the settings.
        before: the deployed pull reference; None if there is none.
        after: the reference after the update, without a digest before the push; None if the image is removed.
        changed: changed files that its build reads.
    """

    name: str
    before: str | None
    after: str | None
    changed: Changed


@dataclass(frozen=True)
class StackReview:
    """The review of one stack.

    Args:
        stack: its name.
        kube_context: kube context of its cluster.
        changes: the change of each resource that changes.
        images: the images that change.
        violations: rules that its resources violate.
        unreachable: why its cluster is unreachable, in one sentence; None if it is reachable.
        failed: why it could not be previewed, in one sentence; None if it was.
    """

    stack: str
    kube_context: str
    changes: tuple[Change, ...] = ()
    images: tuple[ImageChange, ...] = ()
    violations: tuple[Violation, ...] = ()
    unreachable: str | None = None
    failed: str | None = None

    @property
    def good(self) -> bool:
        """Whether the stack was previewed and violates no rule."""
        return not (self.violations or self.unreachable or self.failed)


@dataclass(frozen=True)
class ReviewOptions:
    """The options of a review.

    Args:
        program: the program.
        base: branch that git compares with, such as origin/main.
        node_ports: node port range of the clusters.
        registries: other registries and repositories whose images are allowed, from `allowed_names`.
        configure: whether the stacks' config comes from the fleet.
        seconds: how long each stack may take.
        parallel: how many stacks are reviewed at once.
    """

    program: Program
    base: str
    node_ports: range
    registries: Sequence[str]
    configure: bool
    seconds: float
    parallel: int


async def review_stacks(options: ReviewOptions, members: Sequence[Member]) -> list[StackReview]:
    """Review every stack, several at once; a failure of one stack is part of its review."""
    await options.program.warm_up()
    return await map_limited(lambda member: _review_stack(options, member), members, at_once=options.parallel)


async def _review_stack(options: ReviewOptions, member: Member) -> StackReview:
    review = StackReview(member.name, member.settings.kube_context)
    try:
        if options.configure:
            member = await read_secrets(options.program, member, seconds=options.seconds)
        if unreachable := await unreached(member.settings):
            return replace(review, unreachable=unreachable)
        preview = await read_preview(options.program, member, configure=options.configure, seconds=options.seconds)
        images = await _images(options, member, preview)
    except KubeRegistryError as error:
        return replace(review, failed=str(error))
    allowed = Allowed.of(member.settings, options.node_ports, options.registries)
    kept = [change for change in preview.changes if change.what != DELETED]
    return replace(
        review,
        changes=tuple(change for change in preview.changes if change.what != SAME),
        images=images,
        violations=tuple(found for each in kept for found in violations_of(each.type, each.name, each.inputs, allowed)),
    )


async def _images(options: ReviewOptions, member: Member, preview: Preview) -> tuple[ImageChange, ...]:
    """Return the images whose tag differs from the deployed one."""
    folder, settings = options.program.folder, member.settings
    gone = [
        ImageChange(name, before, None, Changed())
        for name, before in preview.images.items()
        if name not in settings.images
    ]
    found = []
    for build in await asyncio.to_thread(list, read_builds(settings, folder)):
        name = build.image
        before, after = preview.images.get(name), settings.endpoints.tagged_reference(name, build.tag)
        if before is None or before.partition("@")[0] != after:
            found.append(
                ImageChange(name, before, after, await changed_files(build.context, build.dockerfile, options.base))
            )
    return (*found, *gone)
