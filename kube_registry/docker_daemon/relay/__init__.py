"""A relay that carries the push address into a Docker daemon's own network."""
