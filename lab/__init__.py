"""The lab: real Kubernetes clusters and a real Docker engine on one Linux machine, for demos and tests."""
