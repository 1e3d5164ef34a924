"""The configuration of a stack: settings, the addresses and references that follow from them, supported versions."""
