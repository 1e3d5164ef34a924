"""All of kube-registry that makes no Pulumi resource; the resources are in components/."""

__version__ = "0.1.0"
