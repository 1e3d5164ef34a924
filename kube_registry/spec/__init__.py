"""What is wanted: settings, the addresses and references that follow from them, supported versions."""
