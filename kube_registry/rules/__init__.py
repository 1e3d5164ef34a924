"""Policy rules: what no resource of a stack may be, read from its type and inputs alone."""
