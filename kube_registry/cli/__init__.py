"""The command line `registryctl`: a file for each command, and everything that it prints."""
