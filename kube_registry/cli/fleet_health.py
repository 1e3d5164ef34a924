"""How a stack of a fleet is: before it is left alone, and after its update."""

from collections.abc import Mapping

from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.one_stack import Health
from kube_registry.housekeeping.health import examine
from kube_registry.preflight.preflight import prove_nodes
from kube_registry.registry.door import open_write_door
from kube_registry.text import first_line


async def settled(member: Member, images: Mapping[str, str]) -> Health:
    """Look whether a stack can be left alone; one with nodes that are to be asked for a proof cannot.

    Args:
        member: the stack.
        images: name -> pull reference, as its outputs have them.
    """
    found = await examine(member.settings, images)
    wrong = found.sentences
    if found.proofs.to_ask and not wrong:
        wrong = [f"no answer yet of {', '.join(found.proofs.to_ask)}"]
    return Health("; ".join(wrong) or None, tuple(found.remarks))


async def well(member: Member, images: Mapping[str, str]) -> Health:
    """Look whether all is well after an update, and ask the nodes for a proof that it has not asked.

    Only an update that pushes asks nodes by itself.

    Args:
        member: the stack.
        images: name -> pull reference, as its outputs have them.
    """
    found = await examine(member.settings, images)
    wrong = found.sentences
    if found.proofs.to_ask and not found.faults:
        try:
            async with open_write_door(member.settings, "registryctl fleet up", lambda _: None) as (kube, tunnel):
                await prove_nodes(kube, member.settings, tunnel.address, lambda _: None)
        except KubeRegistryError as error:
            return Health(first_line(str(error)))
        found = await examine(member.settings, images)
        wrong = found.faults  # a node without a proof by now has joined meanwhile
    return Health("; ".join(wrong) or None, tuple(found.remarks))
