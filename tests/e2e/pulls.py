"""What the nodes of a cluster really pull."""

import json

from tests.conftest import Lab


def pulled(lab: Lab, image: str) -> dict[str, str]:
    """Node -> digest of an image, as a pod on each has pulled it."""
    daemon_set = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "pulls"},
        "spec": {
            "selector": {"matchLabels": {"app": "pulls"}},
            "template": {
                "metadata": {"labels": {"app": "pulls"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": image, "imagePullPolicy": "Always"}],
                },
            },
        },
    }
    lab.kubectl("apply", "--filename", "-", given=json.dumps(daemon_set))
    lab.kubectl("rollout", "status", "daemonset/pulls", "--timeout=25s")
    pods = lab.get("pods", "--selector", "app=pulls")
    lab.kubectl("delete", "daemonset", "pulls", "--wait=false")
    return {
        pod["spec"]["nodeName"]: pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[2] for pod in pods
    }
