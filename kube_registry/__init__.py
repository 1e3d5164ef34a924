"""Everything in kube-registry except the Pulumi resources, which are in components/."""

__version__ = "0.1.0"
