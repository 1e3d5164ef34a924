"""The push path: everything that has to hold before the Docker daemon can push, and its end."""
