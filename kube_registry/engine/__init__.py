"""The `pulumi` program, run for one stack."""
