"""Shared volumes: prove that every node mounts one, and report its health."""
