"""The lease of a registry: pushes share it, a garbage collection holds it alone."""
