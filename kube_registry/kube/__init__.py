"""Client of one cluster's Kubernetes API: connections, credentials, errors, and the objects read from it."""
