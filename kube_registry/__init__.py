"""All of kube-registry that makes no Pulumi resource; the resources are in components/."""
