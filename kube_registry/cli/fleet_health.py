"""The health of a stack of a fleet: before it is skipped, and after its update."""

from collections.abc import Mapping

from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.one_stack import Health
from kube_registry.housekeeping.health import examine
from kube_registry.preflight.preflight import prove_nodes
from kube_registry.registry.door import open_write_door
from kube_registry.text import first_line


async def settled(member: Member, images: Mapping[str, str]) -> Health:
    """Check whether a stack can be skipped; it cannot while nodes have to prove that they can pull.

    Args:
        member: the stack.
        images: name -> pull reference, from its outputs.
    """
    found = await examine(member.settings, images)
    wrong = found.sentences
    if found.proofs.to_ask and not wrong:
        wrong = [f"no proof yet that {', '.join(found.proofs.to_ask)} can pull"]
    return Health("; ".join(wrong) or None, tuple(found.remarks))


async def well(member: Member, images: Mapping[str, str]) -> Health:
    """Check a stack after its update, and let the nodes prove that they can pull if they have not yet.

    Only an update that pushes includes that proof.

    Args:
        member: the stack.
        images: name -> pull reference, from its outputs.
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
        wrong = found.faults  # a node that has no proof now has joined in the meantime
    return Health("; ".join(wrong) or None, tuple(found.remarks))
