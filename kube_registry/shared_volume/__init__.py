"""Prove that every node mounts a shared volume."""
