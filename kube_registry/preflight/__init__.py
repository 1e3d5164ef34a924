"""The preflight: proof that every node can pull, taken before anything is built."""
