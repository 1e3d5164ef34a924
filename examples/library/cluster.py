"""A stand-in for a cluster that the program creates, such as eks.Cluster: its kubeconfig is an output."""

from pathlib import Path

import pulumi


class Cluster(pulumi.ComponentResource):
    """A cluster whose kubeconfig is known once it is created.

    Args:
        name: its name in the stack.
        file: path of the file that then contains its kubeconfig.
    """

    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, file: str) -> None:
        super().__init__("library:index:Cluster", name)
        made = pulumi.Stash(f"{name}-made", input=name, opts=pulumi.ResourceOptions(parent=self))
        self.kubeconfig = pulumi.Output.secret(made.id.apply(lambda _: Path(file).read_text()))
        self.register_outputs({"kubeconfig": self.kubeconfig})
