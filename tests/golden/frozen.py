"""What the program registers, what its verbs say of themselves and what is generated of it, as texts.

`make golden` writes them into files of this folder, with which test_frozen.py compares.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto.resource_pb2 import RegisterResourceRequest

from components.__main__ import package
from kube_registry.fleet.schema import schema
from kube_registry.generate import GENERATED, ROOT, command_help
from tests.components.test_program import CONFIG, WITH_POD, WITH_S3, WITH_SECRETS, Monitor, Registered, described

FOLDER = Path(__file__).parent
ONE = {**CONFIG, "kube-registry:images": json.dumps({"app": {"context": "./app"}})}
BUILT = {"context": "./app", "target": "final", "buildArgs": {"NODE": 20}}
SEVERAL = {"app": BUILT, "team/other": {"context": "./app", "dockerfile": "Dockerfile"}}
SHARED = {"claims": {"default": "5Gi"}, "exposure": "nodeProxy", "nodeSelector": {"storage": "nfs"}}
CONFIGS: Mapping[str, Mapping[str, str]] = {
    "plain": ONE,
    "node-proxy": {**ONE, "kube-registry:nodeProxy": "true"},
    "retain": {**ONE, "kube-registry:retain": "true"},
    "hosting": {**ONE, "kube-registry:localRegistryHosting": "true"},
    "metrics": {**ONE, "kube-registry:metrics": json.dumps({"namespace": "monitoring", "serviceMonitor": True})},
    "several-images": {**CONFIG, "kube-registry:images": json.dumps(SEVERAL)},
    "s3": {**ONE, **WITH_S3},
    "shared-volume": {**ONE, "kube-registry:sharedVolume": json.dumps(SHARED)},
    "pod": {**WITH_POD, "kube-registry:images": ONE["kube-registry:images"]},
    "secret-images": {**WITH_SECRETS, "kube-registry:storageClass": "fast", "kube-registry:storageSize": "1Gi"},
}
"""Name of a file -> the stack's config."""

SECRET_KEYS = {"secret-images": ["kube-registry:images"]}
OF_THE_PROCESS = "pulumi:pulumi:Stack"
"""Type of the resource that only the first program of a process registers, and none of ours decides."""

STACK = "urn:pulumi:dev::kube-registry::"
"""How every URN begins."""

OF_THE_SDK = re.compile("accept.*|supports.*|sourcePosition|stackTrace.*")
"""Fields of a request that no line of the program decides."""


class Dumper(yaml.SafeDumper):
    """Writes a text of several lines as several lines."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


Dumper.add_representer(str, Dumper.represent_str)


@contextmanager
def bare_machine() -> Iterator[Path]:
    """A folder to build, with no kubeconfig and no Docker config: nothing of this machine shall be in a text."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "app")
        app.mkdir(mode=0o755)
        (app / "Dockerfile").write_text("FROM scratch AS final\nCOPY . /\n")
        (app / "Dockerfile").chmod(0o644)
        with mock.patch.dict(os.environ, {"DOCKER_CONFIG": folder, "KUBECONFIG": f"{folder}/config"}):
            yield app


def resources(name: str) -> str:
    """Every resource by its URN, with inputs and options, the outputs of the components, and what is exported."""
    record = Registered()
    with ExitStack() as place:
        place.enter_context(mock.patch("secrets.token_hex", return_value="random"))
        export = place.enter_context(mock.patch("pulumi.export"))
        app = str(place.enter_context(bare_machine()))
        config = {key: value.replace("./app", app) for key, value in CONFIGS[name].items()}
        place.enter_context(described(Monitor(record), config, SECRET_KEYS.get(name, ())))
        registered = zip(record.providers, record.requests, strict=True)
        found = {
            "resources": {urn: sent(each) for urn, each in registered if each.type != OF_THE_PROCESS},
            "outputs": {urn: each for urn, each in record.outputs.items() if f"::{OF_THE_PROCESS}::" not in urn},
            "exports": {call.args[0]: call.args[1] for call in export.mock_calls},
        }
        text = json.dumps(found, default=lambda each: f"<{type(each).__name__}>")
    for often, short in ((STACK, ""), (str(ROOT), "<checkout>"), (str(Path.home()), "<home>")):
        text = text.replace(often, short)
    return yaml.dump(json.loads(text, parse_float=whole), Dumper=Dumper, width=200)


def sent(request: RegisterResourceRequest) -> dict[str, Any]:
    """What the program says of a resource in a request; what the SDK gathers in sets is sorted."""
    fields = {key: value for key, value in MessageToDict(request).items() if not OF_THE_SDK.fullmatch(key)}
    for of in (fields, *fields.get("propertyDependencies", {}).values()):
        of |= {key: sorted(of[key]) for key in ("dependencies", "urns") if key in of}
    return fields


def whole(number: str) -> float | int:
    """Return a number of a request as the program wrote it: on the wire all are floats."""
    return int(float(number)) if number.endswith(".0") else float(number)


def verbs() -> str:
    """Return what `--help` of every verb prints, those with an old name included."""
    return "\n".join(f"$ {name}\n{printed}" for name, printed in command_help(old=True))


def generated(name: str) -> str:
    """Return what `make schema` writes into a file, without the rest of that."""
    after = GENERATED[name]((ROOT / name).read_text())
    blocks = re.findall(
        r"^[^\n]*(?:# generated|<!-- (?:settings|errors) -->).*?end of [^\n]*\n", after, re.DOTALL | re.MULTILINE
    )
    return "".join(blocks)


TEXTS: Mapping[str, Callable[[], str]] = {
    **{f"{name}.yaml": partial(resources, name) for name in CONFIGS},
    "package-schema.json": lambda: json.dumps(json.loads(package().schema or "{}"), indent=2) + "\n",
    "verbs.txt": verbs,
    **{f"generated-{Path(name).name}": partial(generated, name) for name in GENERATED if name != "docs/cli.md"},
    "generated-fleet.schema.json": schema,
}
"""Name of a file in this folder -> what makes its text."""

if __name__ == "__main__":
    for file, text in TEXTS.items():
        (FOLDER / file).write_text(text())
