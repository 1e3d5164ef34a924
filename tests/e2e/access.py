"""People with fewer rights than an administrator: what docs/rbac/ grants them, and what they were seen to use."""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from kube_registry.spec.settings import Settings
from lab.cluster import kubeconfig_for
from lab.toolchain import tool
from tests.e2e.conftest import CHECKOUT, Lab, settings_of

Right = tuple[str, str]
"""A verb and a resource."""

NAMESPACE = "kube-registry"
DEPLOYER, REVIEWER, PUSHER, HOUSEKEEPER, NOBODY = "deployer", "reviewer", "pusher", "housekeeper", "nobody"

FROM_1_35: set[Right] = {("create", "pods/portforward"), ("create", "pods/exec")}
"""Until then the API server asks of a WebSocket only the right to `get`."""

GRANTED_REQUEST = (
    r'"HTTP" verb="(?P<verb>[A-Z]+)" URI="/(?:api/v1|apis/[^/]+/v1)/(?:(?!namespaces)(?P<everywhere>[a-z]+)'
    r'(?:/[^/?"]+)?|namespaces(?:/NAMESPACE(?:/(?P<resource>[a-z]+)(?:/[^/?"]+(?P<subresource>/[a-z]+)?)?)?)?)[?"]'
    r'.* userAgent="(?!kubelet/|kube-(?!registry/))[^"]+".* (?:resp=(?P<status>2\d\d)|hijacked=true)'
)
"""In the API server's log; not those of Kubernetes' own parts."""

RBAC_VERBS = {"APPLY": "patch", "CONNECT": "get", "POST": "create", "PUT": "update"}
"""For where the log has another word."""


def manifest(person: str) -> str:
    return (CHECKOUT / "docs" / "rbac" / f"{person}.yaml").read_text()


def granted(person: str) -> set[Right]:
    rules = [rule for document in yaml.safe_load_all(manifest(person)) for rule in document.get("rules", [])]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def used(log: str, namespace: str = NAMESPACE) -> set[Right]:
    """What was used in a namespace, or on objects that are in none."""
    found = set()
    for request in re.finditer(GRANTED_REQUEST.replace("NAMESPACE", namespace or "-"), log):
        resource = (request["resource"] or request["everywhere"] or "namespaces") + (request["subresource"] or "")
        found.add((RBAC_VERBS.get(request["verb"], request["verb"].lower()), resource))
        if request["verb"] == "APPLY" and request["status"] == "201":
            found.add(("create", resource))
    return found


def kubectl(kubeconfig: Path, *words: str, given: str = "") -> str:
    command = [str(tool("kubectl")), "--kubeconfig", str(kubeconfig), *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=30).stdout


@dataclass(frozen=True)
class Access:
    """The cluster as people with fewer rights than an administrator see it."""

    lab: Lab
    log: Path
    start: int

    def admin(self, *words: str, given: str = "") -> str:
        return kubectl(self.lab.cluster.kubeconfig, *words, given=given)

    def kubeconfig(self, person: str) -> Path:
        return kubeconfig_for(self.lab.cluster.name, person, [f"{NAMESPACE}-{person}s"])

    def settings(self, person: str) -> Settings:
        return settings_of(self.lab).model_copy(update={"kubeconfig": str(self.kubeconfig(person))})

    def idle(self, person: str, since: int) -> set[Right]:
        """What was granted to a person, but never used since the log had that length."""
        deadline = time.monotonic() + 5  # a watch and a port-forward are logged when they have ended
        while (left := granted(person) - FROM_1_35 - used(self.log.read_bytes()[since:].decode())) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.1)
        return left

    def log_requests(self, level: int) -> None:
        """At 3 the API server logs every request, at 0 none."""
        self.admin("replace", "--raw", "/debug/flags/v", "--filename", "-", given=str(level))
