"""The command line `registryctl`: a file for each verb, and the text that a person sees."""
