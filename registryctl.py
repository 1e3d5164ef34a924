"""`python -m registryctl COMMAND` from the checkout; the command line is in kube_registry/cli/."""

from kube_registry.cli.app import main

if __name__ == "__main__":
    main("python -m registryctl")
