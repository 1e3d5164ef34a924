"""A volume that two Deployments on different nodes share: one writes the time every second, the other prints it."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from kube_registry.components import ClusterRegistry, RegistryImage, SharedVolume

config = pulumi.Config()
context = config.require("kubeContext")
cluster = kubernetes.Provider("cluster", context=context, cluster_identifier=context)
registry = ClusterRegistry("registry", kube_context=context, opts=pulumi.ResourceOptions(providers=[cluster]))
app = RegistryImage("app", registry=registry, context="./app")
volume = SharedVolume("notes", registry=registry, size="1Gi", storage_class=config.get("storageClass"))
claim = volume.claim("default", "1Gi")

WRITE = "while true; do date >> /shared/notes; sync /shared/notes; sleep 1; done"
READ = "until tail -n 1 /shared/notes; do sleep 1; done; exec tail -f /shared/notes"


def deployment(name: str, command: str, other: str) -> None:
    """Create a Deployment that mounts the volume, on another node than another Deployment."""
    labels = {"app.kubernetes.io/name": name}
    elsewhere: dict[str, Any] = {
        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": other}},
        "topologyKey": "kubernetes.io/hostname",
    }
    kubernetes.apps.v1.Deployment(
        name,
        metadata={"name": name, "namespace": "default"},
        spec={
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [elsewhere]}},
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {
                            "name": name,
                            "image": app.reference,
                            "command": ["sh", "-c", command],
                            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                        }
                    ],
                    "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": claim.metadata.name}}],
                },
            },
        },
        opts=pulumi.ResourceOptions(provider=cluster),
    )


deployment("writer", WRITE, "reader")
deployment("reader", READ, "writer")
pulumi.export("address", volume.address)
