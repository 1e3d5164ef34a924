"""What is in a registry and whether all is well with it; it looks, and changes nothing."""
