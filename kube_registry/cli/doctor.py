"""`registryctl doctor`: one page about the health of a stack, and how to fix what is wrong."""

import os
import shlex

from kube_registry.cli.session import UNBROKEN, RegistryName, StackName, console, exit_by_result, table
from kube_registry.cli.stack_registry import deployed_images, find_registry
from kube_registry.cli.stacks import pulumi_version
from kube_registry.housekeeping.checks import judge_version
from kube_registry.housekeeping.node_checks import Finding
from kube_registry.text import add_fix

_STATES = {True: "ok", False: "fix", None: "?"}


@exit_by_result
async def doctor(stack: StackName = None, registry: RegistryName = None) -> bool:
    """Check a stack, its cluster and its nodes; exit status 1 if something needs fixing."""
    found = await find_registry(stack, registry)
    references = await deployed_images(found)
    findings = [judge_version("pulumi", "Pulumi", await pulumi_version())]
    if references is None:
        words = add_fix("has no images in its outputs yet", f"`pulumi up --stack {shlex.quote(found.stack)}`")
        findings.append(Finding(f"stack {found.stack}", well=False, words=words))
    from kube_registry.housekeeping.doctor import run_all_checks  # noqa: PLC0415 - with Docker's SDK, which help does not need

    findings += await run_all_checks(found.settings, references or {}, os.environ, found.push_command)
    page = table()
    for finding in findings:
        page.add_row(_STATES[finding.well], finding.subject, finding.words)
    console(width=UNBROKEN).print(page)
    return all(finding.well is not False for finding in findings)
