"""The policy pack: registers the rules of kube_registry/rules/ with Pulumi."""
