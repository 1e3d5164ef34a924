"""Build an image on this machine and push it to a registry in a cluster, from which every node can pull it."""

import pulumi
from kube_registry.components import ClusterRegistry, RegistryImage

registry = ClusterRegistry("registry", kube_context=pulumi.Config().require("kubeContext"))
app = RegistryImage("app", registry=registry, context="./app")
pulumi.export("image", app.reference)
