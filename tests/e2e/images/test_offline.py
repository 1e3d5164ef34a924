"""The commands of docs/offline.md, run where no public registry can be reached."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from components.registry_pod import deployment_spec
from kube_registry.spec.settings import Settings
from lab import nodes
from lab.cluster import known
from lab.images import archive
from lab.machines import Machine
from tests.e2e.conftest import CHECKOUT, Lab, settings_of

PAGE = (CHECKOUT / "docs" / "offline.md").read_text()
SAVE, IMPORT, NAME = (block.split("\n") for block in re.findall(r"```console\n(.*?)\n```", PAGE, re.DOTALL))


def named() -> dict[str, str]:
    """What the page's commands set."""
    return {key: value for *_, key, value in map(shlex.split, NAME)}


@pytest.mark.lab
def test_what_is_imported_into_the_nodes_runs_on_them(lab: Lab, tmp_path: Path) -> None:
    image = settings_of(lab).registry_image
    got = f"docker load --quiet --input {archive()}"  # in place of `docker pull`, an engine that runs may lack some
    for command in (got, *SAVE):
        subprocess.run(shlex.split(command), cwd=tmp_path, env=dict(lab.env), check=True, timeout=60)
    spec = known(lab.cluster.name)
    for node in spec.nodes:
        machine = nodes.machine_of(spec, node)
        shutil.copy(tmp_path / "images.tar", machine.var / "lib")

        def run(command: str, on: Machine = machine) -> str:
            inside = on.inside("sh", "-c", f"cd /var/lib && {command}")
            return subprocess.run(inside, capture_output=True, text=True, check=True, timeout=60).stdout

        run(f"ctr --namespace k8s.io images remove --sync {image}")
        assert run(IMPORT[-1]) == ""
        assert [run(command) for command in IMPORT][-1].strip() == image
        pod = f"offline-{node.name}"
        overrides = f'{{"spec": {{"nodeName": "{node.name}"}}}}'
        version = ("--restart=Never", "--image-pull-policy=Never", "--command", "--", "registry", "--version")
        lab.kubectl("run", pod, f"--image={image}", f"--overrides={overrides}", *version)
        lab.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{pod}", "--timeout=20s")
        lab.kubectl("delete", "pod", pod, "--wait=false")


def test_what_is_named_is_what_the_registry_runs() -> None:
    config = {"kubeContext": "nowhere", "images": {"app": {}}, **named()}
    settings = Settings.parse(config, project="kube-registry", stack="dev")
    images = {container["image"] for container in deployment_spec(settings)["template"]["spec"]["containers"]}
    assert images == {"registry.example/library/registry:3.1.2"}
    assert settings.proxy_image == "registry.example/library/haproxy:3.2-alpine"


def test_the_page_names_the_images_that_are_the_default() -> None:
    fields = Settings.model_fields
    defaults = {
        str(fields[name].default).removeprefix("docker.io/library/") for name in ("registry_image", "proxy_image")
    }
    assert defaults == set(shlex.split(SAVE[0])[-2:])
