"""A registry that was changed by hand: the next update puts it right, whoever owns a field by then."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from kube_registry.names import READ_PORT
from tests.e2e.conftest import Lab, Program, settings_of

pytestmark = pytest.mark.lab

PLACE = ("--namespace", "kube-registry")


def edit(lab: Lab) -> None:
    """Change what the registry is made of as `kubectl edit` and `kubectl scale` do."""
    (config,) = objects(lab, "configmap")
    changes = {
        "deployment": {"spec": {"strategy": {"type": "RollingUpdate"}, "revisionHistoryLimit": 1}},
        "service": {"spec": {"ports": [{"name": "read", "port": READ_PORT, "targetPort": "nowhere"}]}},
        "configmap": {"data": dict.fromkeys(config["data"], "nonsense")},
    }
    for kind, patch in changes.items():
        given = ("--type=merge", "--field-manager=kubectl-edit", f"--patch={json.dumps(patch)}")
        lab.kubectl("patch", kind, "registry", *PLACE, *given)
    lab.kubectl("scale", "deployment", "registry", "--replicas=0", *PLACE)


def take_over(lab: Lab) -> None:
    """Own fields by server-side apply, as another tool does."""
    meta = {"name": "registry", "namespace": "kube-registry"}
    taken = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 0}}
    given = ("--server-side", "--force-conflicts", "--field-manager=another-tool", "--filename=-")
    lab.kubectl("apply", *given, given=json.dumps(taken))


def remove_service(lab: Lab) -> None:
    lab.kubectl("delete", "service", "registry", *PLACE)


def objects(lab: Lab, what: str) -> list[dict[str, Any]]:
    return lab.get(what, *PLACE, "--field-selector", "metadata.name=registry")


@pytest.mark.parametrize("change", [edit, take_over, remove_service])
@pytest.mark.usefixtures("deployed")
def test_the_next_update_puts_it_right(lab: Lab, program: Program, change: Callable[[Lab], None]) -> None:
    (before,) = objects(lab, "configmap")
    change(lab)
    program.up()
    (deployment,), (service,) = objects(lab, "deployment"), objects(lab, "service")
    assert deployment["status"]["readyReplicas"] == 1
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["read"]
    assert [port["nodePort"] for port in service["spec"]["ports"]] == [settings_of(lab).node_port]
    assert objects(lab, "configmap")[0]["data"] == before["data"]
    assert set(program.preview()) == {"same"}
