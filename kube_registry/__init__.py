"""What has no Pulumi resources; the rest of it stands in folders of its own yet (docs/architecture.md)."""
