"""The Docker daemon that builds and pushes: find it, check that it runs, and connect it to the registry."""
