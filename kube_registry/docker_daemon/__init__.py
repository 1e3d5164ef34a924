"""The Docker daemon that builds and pushes: which one, whether it is there and reaches the registry."""
