"""Many stacks at once: fleet.yaml, and one rollout over all of them."""
