"""The policy pack: hands stack/rules.py on to Pulumi."""
