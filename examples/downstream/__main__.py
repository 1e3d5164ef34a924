"""A web server on every node, from the image that another stack has pushed."""

import pulumi
import pulumi_kubernetes as kubernetes

config = pulumi.Config()
same_name = f"{pulumi.get_organization()}/kube-registry/{pulumi.get_stack()}"
pushed = pulumi.StackReference(config.get("registryStack") or same_name)
name = config.get("image")
image = pushed.require_output("images")[name] if name else pushed.require_output("image")
labels = {"app.kubernetes.io/name": "downstream"}

cluster = kubernetes.Provider(
    "cluster",
    context=config.require("kubeContext"),
    cluster_identifier=config.require("kubeContext"),
)
web = kubernetes.apps.v1.DaemonSet(
    "web",
    metadata={"name": "web", "namespace": "default"},
    spec={
        "selector": {"matchLabels": labels},
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": "web",
                        "image": image,
                        "ports": [{"containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/version", "port": 8080}, "periodSeconds": 1},
                    }
                ],
            },
        },
    },
    opts=pulumi.ResourceOptions(provider=cluster),
)
pulumi.export("image", image)
pulumi.export("workload", web.metadata["name"])
