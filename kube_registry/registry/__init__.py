"""The registry in its cluster: its API, its pod, its volume, and whether it runs."""
