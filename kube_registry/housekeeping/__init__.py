"""A registry that is deployed: what is in it, who uses it, what is wrong with it, what can go."""
