"""A cluster, its registry, an image and a web server that runs it: one `pulumi up` for all."""

import pulumi
import pulumi_kubernetes as kubernetes
from cluster import Cluster
from kube_registry.components import ClusterRegistry, RegistryImage

cluster = Cluster("cluster", pulumi.Config().require("clusterFile"))
in_cluster = kubernetes.Provider("kubernetes", kubeconfig=cluster.kubeconfig, cluster_identifier="cluster")
registry = ClusterRegistry(
    "registry", kubeconfig=cluster.kubeconfig, opts=pulumi.ResourceOptions(providers=[in_cluster])
)
app = RegistryImage("app", registry=registry, context="./app")

labels = {"app.kubernetes.io/name": "library"}
kubernetes.apps.v1.DaemonSet(
    "web",
    metadata={"name": "library", "namespace": "default"},
    spec={
        "selector": {"matchLabels": labels},
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": "web", "image": app.reference}],
            },
        },
    },
    opts=pulumi.ResourceOptions(provider=in_cluster),
)
pulumi.export("image", app.reference)
