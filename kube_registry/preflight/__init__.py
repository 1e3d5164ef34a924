"""The preflight: check that every node can pull from the registry, before anything is built."""
