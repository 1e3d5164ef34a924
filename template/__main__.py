"""An image, built on this machine and pulled by every node of a cluster from a registry of its own."""

import pulumi
from kube_registry.components import ClusterRegistry, RegistryImage

registry = ClusterRegistry("registry", kube_context=pulumi.Config().require("kubeContext"))
app = RegistryImage("app", registry=registry, context="./app")
pulumi.export("image", app.reference)
