"""The policy pack: hands kube_registry/rules/ on to Pulumi."""
