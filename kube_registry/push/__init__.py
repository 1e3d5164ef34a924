"""The push path: prepare everything that a push by the Docker daemon needs, and clean up afterwards."""
