"""Who reaches an open tunnel on this machine, and what they get: pages, other users, other machines, other clients."""

import hashlib
import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from lab import images
from lab.nodes import CONTAINERD_SOCKET
from lab.parts import of_cluster
from lab.toolchain import tool
from lab.versions import OLDEST, chosen
from tests.e2e.conftest import STACK, Lab, Program
from tests.e2e.tunnel.test_tunnel import Running, is_free, running

pytestmark = pytest.mark.lab

PAGE = "http://evil.example"
UPLOAD = "/v2/stranger/blobs/uploads/"
MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}'

ASK = """
import encodings.idna, http.client, os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
asked = http.client.HTTPConnection("localhost", int(sys.argv[1]), timeout=10)
for method, path in (("GET", "/v2/"), ("POST", sys.argv[2])):
    asked.request(method, path)
    answer = asked.getresponse()
    answer.read()
    print(answer.status)
"""
"""A read and a write by the user nobody."""

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)"


@pytest.fixture(scope="module")
def opened(lab: Lab, deployed: Program) -> Iterator[Running]:
    env = {**lab.env, **deployed.stack.workspace.env_vars}
    with running(deployed, env, "tunnel", "--stack", STACK) as tunnel:
        yield tunnel
        tunnel.end()
    assert is_free(tunnel.push_port)


def asked(port: int, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_the_tunnel_answers_and_writes(opened: Running) -> None:
    assert asked(opened.push_port, "GET", "/v2/") == (200, b"{}")
    assert asked(opened.push_port, "POST", UPLOAD)[0] == 202


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v2/_catalog", {"Host": "evil.example:{port}"}),
        ("POST", UPLOAD, {"Origin": PAGE, "Content_Type": "application/x-www-form-urlencoded"}),
        ("POST", UPLOAD, {"Origin": "null", "Content_Type": "text/plain"}),
        ("PUT", "/v2/app/manifests/v1", {"Origin": PAGE}),
        ("DELETE", "/v2/app/manifests/v1", {"Origin": "http://localhost:{port}"}),
        ("OPTIONS", UPLOAD, {"Origin": PAGE, "Access_Control_Request_Method": "POST"}),
        ("GET", "/v2/app/tags/list", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}),
        ("GET", "/v2/", {"Connection": "Upgrade", "Upgrade": "websocket"}),
    ],
    ids=["rebinding", "form", "sandboxed form", "fetch", "own origin", "preflight", "image", "websocket"],
)
def test_a_page_is_refused(opened: Running, method: str, path: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=opened.push_port) for name, value in headers.items()}
    status, body = asked(opened.push_port, method, path, **sent)
    assert (status, b"DENIED" in body) == (403, True)


def test_another_user_of_this_machine_reads_and_writes(opened: Running) -> None:
    """docs/security.md says so: the push address is on loopback, which knows no users."""
    command = [sys.executable, "-c", ASK, str(opened.push_port), UPLOAD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["200", "202"]


def test_no_other_bytes_get_behind_a_digest(opened: Running) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", opened.push_port, timeout=20)) as connection:
        for digest in (f"sha256:{'0' * 64}", f"sha256:{hashlib.sha256(b'{}').hexdigest()}"):
            headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
            connection.request("PUT", f"/v2/stranger/manifests/{digest}", MANIFEST, headers)
            answer = connection.getresponse()
            assert (answer.status, b"DIGEST_INVALID" in answer.read()) == (400, True)


def test_no_other_machine_reaches_it(lab: Lab, opened: Running) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((lab.cluster.host_address, opened.push_port), timeout=5)
    for node in lab.cluster.nodes:
        for address in (lab.cluster.host_address, "127.0.0.1"):
            command = [f"--net={node.netns}", sys.executable, "-c", CONNECT, address, str(opened.push_port)]
            done = subprocess.run(["nsenter", *command], capture_output=True, text=True, timeout=30, check=False)
            assert "ConnectionRefusedError" in done.stderr, address


def test_containerd_pushes_and_pulls(lab: Lab, opened: Running) -> None:
    """With ctr, on this machine; Docker does in test_tunnel.py."""
    name = f"localhost:{opened.push_port}/by/containerd:v1"
    socket_of_node = f"/proc/{lab.cluster.nodes[0].pid}/root/run/{CONTAINERD_SOCKET}"
    ctr = tool("ctr", of_cluster(chosen()))
    command = (ctr, f"--address={socket_of_node}", "--namespace=strangers")
    # From containerd 2.0 on, the daemon pushes and pulls, in the node's network, unless ctr gets --local.
    here = () if chosen().containerd == OLDEST.containerd else ("--local",)
    for words in (
        ("import", str(images.archive())),
        ("tag", images.BUSYBOX, name),
        ("push", *here, "--plain-http", name),
        ("rm", name),
        ("pull", *here, "--plain-http", name),
        ("rm", name, images.BUSYBOX),
    ):
        subprocess.run([*command, "images", *words], capture_output=True, text=True, timeout=60, check=True)
    assert asked(opened.push_port, "GET", "/v2/by/containerd/tags/list")[0] == 200
