"""Many stacks as one: fleet.yaml, and one rollout over all of them."""
