"""`pulumi`, run as a program."""
