"""Policy rules: pure checks of a resource's type and inputs."""
