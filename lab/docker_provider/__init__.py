"""An offline stand-in for the Pulumi plugin pulumi-resource-docker, for machines that cannot install the real one.

It does for `docker:index/image:Image` what the real plugin does, through the Docker engine's API: the same checks,
diffs, outputs, lines on the resource's row and errors. Everything else of that provider it refuses by name, and of
an Image what the lab does not need: `build.cacheFrom` and credentials in the program. Started as
`python -m lab.docker_provider ENGINE_ADDRESS`, it prints the port that it listens on.
"""
