"""Prove that every node mounts a shared volume, as the preflight proves that every node pulls.

The results are stored in the volume's namespace, so that only new and changed nodes are tested again.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.limits import MOUNT_SECONDS, READY_SECONDS
from kube_registry.names import ARCHITECTURE, NFS_SERVER, PROBE_REPOSITORY
from kube_registry.preflight.node_tests import examine, say_later, worst_of
from kube_registry.preflight.node_window import NodeTest, Verdicts, ask
from kube_registry.registry.probe_image import TAG
from kube_registry.registry.readiness import wait_node_proxy_ready, wait_ready
from kube_registry.registry.readiness_fixes import SHARED_PROXY, SHARED_SERVER
from kube_registry.shared_volume.errors import MountError
from kube_registry.shared_volume.mount_pod import MOUNTED, late_verdict, mount_pod, mount_verdict
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.phases import Phase, Say
from kube_registry.spec.settings import RegistrySettings
from kube_registry.spec.shared_volume import SharedVolumeSettings
from kube_registry.text import until

MORE_SECONDS = 60.0
"""How much longer a mount may take than a pull: one without an answer reports nothing before its time limit."""


@dataclass(frozen=True)
class Share:
    """A shared volume that nodes can mount.

    Args:
        settings: its settings.
        registry: the settings of the registry, which has the preflight's image.
        server: address that nodes mount from.
        claim: name of a claim in the server's namespace, which the probe pods mount.
    """

    settings: SharedVolumeSettings
    registry: RegistrySettings
    server: str
    claim: str

    @property
    def conditions(self) -> dict[str, str]:
        """What the result of a node depends on."""
        options = ",".join(self.settings.mount_options)
        return {"server": self.server, "options": options, "csi": str(self.settings.csi).lower()}


async def prove_share(address: ClusterAddress, share: Share, say: Say) -> None:
    """Wait until the NFS server is ready, and check that no node fails to mount its volume.

    Args:
        address: the cluster, with the namespace of the server.
        share: the shared volume.
        say: prints each wait, and a line that names nodes that cannot be tested now.

    Raises:
        NotReadyError: the server, or its node proxy, is not ready in time.
        MountError: some nodes cannot mount the volume.
        ClusterError: the nodes cannot be tested.
    """
    say(Phase.REGISTRY, f"waiting for the NFS server to become ready, {until(READY_SECONDS)}")
    deadline = time.monotonic() + READY_SECONDS
    async with open_client(address) as kube:
        await wait_ready(kube, seconds=READY_SECONDS, name=NFS_SERVER, what=SHARED_SERVER)
        if share.settings.exposure == "nodeProxy":
            left = deadline - time.monotonic()
            proxy = f"{kube.where.namespace}-proxy"
            await wait_node_proxy_ready(kube, proxy, seconds=left, what=SHARED_PROXY)
        say(Phase.PREFLIGHT, f"waiting for every node to mount the volume, {until(MOUNT_SECONDS)}")
        await prove_mounts(kube, share, partial(say, Phase.PREFLIGHT))


async def prove_mounts(kube: KubeClient, share: Share, say: Callable[[str], None]) -> None:
    """Check that no node fails to mount the volume.

    Args:
        kube: client, with the namespace of the server.
        share: the shared volume.
        say: prints a line that names nodes that cannot be tested now.

    Raises:
        MountError: some nodes cannot mount the volume.
        ClusterError: the nodes cannot be tested.
    """
    nodes = await linux_nodes(kube, {ARCHITECTURE: share.registry.architecture, **share.settings.node_selector})
    if not nodes:
        say(f"no node has the labels of sharedVolume.nodeSelector: {share.settings.node_selector}")
    image = share.registry.endpoints.tagged_reference(PROBE_REPOSITORY, TAG)
    pod = partial(mount_pod, image, share.claim)

    async def mount(to_test: Sequence[Node]) -> Verdicts:
        test = NodeTest(pod, mount_verdict, partial(late_verdict, share.settings), MORE_SECONDS)
        return await ask(kube, to_test, test, time.monotonic() + MOUNT_SECONDS)

    verdicts = await examine(kube, nodes, share.conditions, MOUNTED, mount, afresh=False)
    say_later(verdicts, "The next update", say)
    failing = {node: verdict for node, verdict in verdicts.items() if not (verdict.passed or verdict.later)}
    if failing:
        fix, _ = Counter(verdict.fix for verdict in failing.values()).most_common(1)[0]
        raise MountError(
            where=kube.where,
            server=share.server,
            rows=tuple((node.name, node.version, failing[node].words) for node in worst_of(failing)),
            failing=len(failing),
            nodes=len(verdicts),
            fix=fix,
        )
