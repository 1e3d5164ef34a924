"""The Pulumi resources of one stack; the only code that imports pulumi_kubernetes or pulumi_docker."""
