"""The port-forward of kr8s as a process.

`python -m tests.bench.kr8s_forward KUBECONFIG KUBE_CONTEXT NAMESPACE POD PORT`
"""

import asyncio
import sys

import kr8s.asyncio
from kr8s.asyncio.objects import Pod

from kube_registry.names import WRITE_PORT


async def main() -> None:
    """Forward until it is ended."""
    kubeconfig, kube_context, namespace, name, port = sys.argv[1:]
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig, context=kube_context)
    pod = await Pod.get(name, namespace=namespace, api=api)
    await pod.portforward(WRITE_PORT, local_port=int(port)).run_forever()


asyncio.run(main())
