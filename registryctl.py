"""`python -m registryctl VERB` from the checkout; the command line is kube_registry/cli/."""

from kube_registry.cli.app import main

if __name__ == "__main__":
    main("python -m registryctl")
