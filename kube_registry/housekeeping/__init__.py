"""A deployed registry: what it stores, what uses it, what is wrong with it, and what can be removed."""
