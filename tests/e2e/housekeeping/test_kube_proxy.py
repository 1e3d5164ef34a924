"""What `registryctl doctor` says of kube-proxy on a real cluster: as it reports itself, and as kubeadm configures it.

The lab's kube-proxies are processes of the nodes. For kubeadm's way, objects like its own stand in kube-system: the
DaemonSet selects no node, so that it has no pods, and its ConfigMap names the mode that a test needs.
"""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program

pytestmark = pytest.mark.lab

KUBEADM = """
apiVersion: v1
kind: ConfigMap
metadata: {{name: kube-proxy, namespace: kube-system}}
data:
  kubeconfig.conf: ""
  config.conf: |
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    mode: "{mode}"
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: kube-proxy, namespace: kube-system, labels: {{k8s-app: kube-proxy}}}}
spec:
  selector: {{matchLabels: {{k8s-app: kube-proxy}}}}
  template:
    metadata: {{labels: {{k8s-app: kube-proxy}}}}
    spec:
      nodeSelector: {{no-node: has-this}}
      containers:
        - name: kube-proxy
          image: registry.k8s.io/kube-proxy:v1.37.2
          command: [/usr/local/bin/kube-proxy, --config=/var/lib/kube-proxy/config.conf]
          volumeMounts: [{{mountPath: /var/lib/kube-proxy, name: kube-proxy}}]
      volumes:
        - name: kube-proxy
          configMap: {{name: kube-proxy}}
"""


@pytest.fixture
def configured(lab: Lab) -> Iterator[Callable[[str], object]]:
    """What is given configures kube-proxy's mode as kubeadm does; empty for none."""
    yield lambda mode: lab.kubectl("apply", "--filename", "-", given=KUBEADM.format(mode=mode))
    lab.kubectl("delete", "--ignore-not-found", "--filename", "-", given=KUBEADM.format(mode=""))


def line(program: Program) -> tuple[list[str], str, str]:
    """What a doctor would fix, and the state and the words of its line about kube-proxy."""
    done = program.registryctl("doctor")
    assert done.stderr == ""
    rows = [row.rstrip() for row in done.stdout.splitlines()]  # the table pads its last column
    (row,) = (row.split(maxsplit=2) for row in rows if row.split()[1] == "kube-proxy")
    return [each for each in done.stdout.splitlines() if each.startswith("fix")], row[0], row[2]


def test_the_mode_that_kube_proxy_reports_is_named_for_each_node(lab: Lab, deployed: Program) -> None:
    faults, state, words = line(deployed)
    assert (faults, state) == ([], "ok")
    nodes = ", ".join(node.name for node in lab.cluster.nodes)
    assert words.startswith(f"{nodes}: mode iptables, which serves node ports on loopback; if no mode is set, ")


def test_a_mode_that_is_not_set_is_named_with_the_version_that_changes_it(
    configured: Callable[[str], object], deployed: Program
) -> None:
    configured("")
    faults, state, words = line(deployed)
    assert (faults, state) == ([], "ok")
    assert "mode iptables by default, which serves node ports on loopback; from Kubernetes 1.40 on " in words


def test_a_mode_that_does_not_serve_loopback_is_fixed_by_the_commands(
    configured: Callable[[str], object], deployed: Program
) -> None:
    configured("nftables")
    faults, state, words = line(deployed)
    assert (len(faults), state) == (1, "fix")
    assert "mode nftables, which does not serve node ports on loopback. Fix: " in words
    deployed.paste(commands_of(words))
    faults, state, words = line(deployed)
    assert state == "ok"
    assert words.endswith("; the node proxy serves the registry there")
    deployed.paste(commands_of("\n".join(faults)))  # no node has pulled through the node proxy yet
    assert line(deployed)[0] == []
