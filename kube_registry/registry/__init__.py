"""The registry in its cluster: its API, its pod, its volume and its readiness."""
