"""The command line: a few lines a verb, and every line that a person sees."""
