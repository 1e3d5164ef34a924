"""Serve the plugin: print its port, and serve until it receives a signal or its parent process ends."""

import os
import select
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import grpc
from pulumi.runtime.proto.provider_pb2_grpc import add_ResourceProviderServicer_to_server

from lab.docker_provider.service import DockerProvider

PARALLEL_CALLS = 64
"""More than Pulumi's default, so that Cancel never has to wait for builds."""

_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main() -> None:
    """Serve; the first argument that is not an option is the address of Pulumi's engine."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = os.pidfd_open(os.getppid())
    engine = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    server = grpc.server(ThreadPoolExecutor(PARALLEL_CALLS), options=_ANY_SIZE)
    add_ResourceProviderServicer_to_server(DockerProvider(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    import_module("lab.docker_provider.build")  # slow import, done while Pulumi starts the program
    select.select([parent], [], [])
    os._exit(0)  # exit at once: builds end with their connection to the Docker engine
