"""Many stacks as one: which there are, and one rollout over all of them."""
