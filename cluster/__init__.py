"""One stack, live: what the cluster says and does. asyncio, no Pulumi."""
