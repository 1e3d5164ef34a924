"""`registryctl dev`: watch a program and its build contexts, and update its stacks when something changes."""
