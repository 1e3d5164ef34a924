"""The Kubernetes API of one cluster: how it is reached, what it refuses, the objects read from it."""
