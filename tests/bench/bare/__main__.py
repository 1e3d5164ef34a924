"""The baseline: the resources of kube-registry without its components, hooks and checks.

Their inputs are those of our stack as the bench last saw them in its state (resources.json), so that the two can not
drift apart. The image is pushed through a port-forward that the bench holds open.
"""

import json
from pathlib import Path

import pulumi
import pulumi_docker as docker
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace, PersistentVolumeClaim, Service
from pulumi_kubernetes.networking.v1 import NetworkPolicy

inputs = json.loads(Path("resources.json").read_text())
kube_context = pulumi.Config().require("kubeContext")

cluster = kubernetes.Provider(
    "cluster", context=kube_context, cluster_identifier=kube_context, enable_server_side_apply=True
)
builder = docker.Provider("builder")


def after(*resources: pulumi.Resource) -> pulumi.ResourceOptions:
    """In the cluster, once these are there."""
    return pulumi.ResourceOptions(provider=cluster, depends_on=resources)


namespace = Namespace("namespace", **inputs["Namespace"], opts=after())
claim = PersistentVolumeClaim("claim", **inputs["PersistentVolumeClaim"], opts=after(namespace))
config = ConfigMap("config", **inputs["ConfigMap"], opts=after(namespace))
policy = NetworkPolicy("policy", **inputs["NetworkPolicy"], opts=after(namespace))
deployment = Deployment("deployment", **inputs["Deployment"], opts=after(claim, config, policy))
service = Service("service", **inputs["Service"], opts=after(namespace))
image = docker.Image(
    "app",
    image_name=inputs["Image"]["imageName"],
    build=inputs["Image"]["build"],
    opts=pulumi.ResourceOptions(provider=builder, depends_on=[deployment, service]),
)
pulled_from = f"localhost:{inputs['Service']['spec']['ports'][0]['nodePort']}"
pulumi.export("image", image.repo_digest.apply(lambda pushed: f"{pulled_from}/{pushed.partition('/')[2]}"))
