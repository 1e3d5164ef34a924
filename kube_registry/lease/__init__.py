"""The lease of a registry: shared by pushes, exclusive for a garbage collection."""
