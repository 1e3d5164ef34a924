"""From an edited file to pods that run it: as a person does it, and as nobody could do it faster."""

from typing import Any

from kube_registry.spec.endpoints import parse_reference
from lab import kube_api
from lab.docker_provider.build import build_and_push
from lab.docker_provider.daemon import Daemon
from lab.docker_provider.inputs import Image, check
from lab.errors import LabError
from lab.waiting import wait_for
from tests.bench import table
from tests.bench.life import LOG, Lab, seconds
from tests.bench.places import DOWNSTREAM, PUSH_PORT, output

PODS_SECONDS = 60.0
"""How long pods may take to run a new image."""

_PODS = "/api/v1/namespaces/default/pods"
_NAME = "app.kubernetes.io/name"


def of_ours(lab: Lab) -> table.Times:
    """As a person does it, beside both baselines."""
    took = seconds(lambda: with_pulumi(lab))
    return {table.EDIT: took, table.EDIT_BY_HAND: took}


def of_baseline(lab: Lab) -> table.Times:
    """Both baselines, one after the other."""
    return {table.EDIT: seconds(lambda: with_pulumi(lab)), table.EDIT_BY_HAND: seconds(lambda: _by_hand(lab))}


def with_pulumi(lab: Lab, text: str = "edited") -> None:
    """Edit the file, then `pulumi up` of the stack and of its downstream, until pods on every node run the new image.

    Raises:
        LabError: one of them failed, or nothing changed.
    """
    life, changes = lab.life, {"updated", "unchanged"}
    before = output(life.backend, life.name, "image")
    life.write(text)
    lab.up(life.project, changes)
    lab.up(life.project / DOWNSTREAM, changes)
    reference = output(life.backend, life.name, "image")
    if reference == before:
        raise LabError(f"The edit has not changed the image {reference}; the log is {LOG}.")
    _wait_for_pods(lab, "downstream", reference)


def _by_hand(lab: Lab) -> None:
    """One build, one push through the open port-forward, and one pod on each node."""
    lab.life.write("edited by hand")
    name = f"localhost:{PUSH_PORT}/app:by-hand"
    pushed = build(lab, name, push=True)
    pull_host = parse_reference(output(lab.life.backend, lab.life.name, "image")).host
    reference = f"{pull_host}/{pushed.partition('/')[2]}"
    for node in lab.spec.nodes:
        if not kube_api.create(lab.spec, _PODS, _pod(node.name, reference)):
            raise LabError(f"The API server did not take a pod for node {node.name}.")
    _wait_for_pods(lab, "by-hand", reference)


def build(lab: Lab, name: str, *, push: bool) -> str:
    """Have the app built, and pushed if asked for; its repository and digest, or its id where it is not pushed."""
    inputs = {"context": str(lab.life.project / "app"), "platform": "linux/amd64"}
    image = Image.parse(check({"imageName": name, "build": inputs, "skipPush": not push}, _say_nothing))
    return build_and_push(Daemon(lab.docker_host), image, _say_nothing, push=push)["repoDigest"]


def _pod(node: str, reference: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"by-hand-{node}", "labels": {_NAME: "by-hand"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "web", "image": reference}],
        },
    }


def _wait_for_pods(lab: Lab, app: str, reference: str) -> None:
    """Return when the app has one pod a node, each ready with the reference's digest."""
    digest = str(parse_reference(reference).digest)

    def running() -> bool:
        found = kube_api.get(lab.spec, f"{_PODS}?labelSelector={_NAME}%3D{app}") or {"items": []}
        statuses = [status for pod in found["items"] for status in pod["status"].get("containerStatuses", [])]
        up_to_date = [status["ready"] and status["imageID"].endswith(digest) for status in statuses]
        return up_to_date == [True] * len(lab.spec.nodes)

    wait_for(running, f"pods of {app} to run {reference}", log=LOG, seconds=PODS_SECONDS)


def _say_nothing(_line: str) -> None:
    """The engine's progress is nobody's business here."""
