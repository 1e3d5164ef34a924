"""A relay that forwards the push address from a Docker daemon's own network to this machine."""
