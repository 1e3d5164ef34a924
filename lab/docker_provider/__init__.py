"""An offline stand-in for the Pulumi plugin pulumi-resource-docker, for machines that cannot install the real one.

It supports `docker:index/image:Image` with the same checks, diffs, outputs, progress lines and errors as the real
plugin, through the Docker engine's API. It rejects all other resources of that provider, and the inputs of an Image
that the lab does not need: `build.cacheFrom` and credentials in the program. `python -m lab.docker_provider
ENGINE_ADDRESS` starts it and prints the port that it listens on.
"""
