"""The table of the parts that the lab needs, and builds if they are missing.

Each part has a version, a purpose, a way to find it and a way to build it. This module only looks up parts. Debian's
packages are listed in lab/debian.py.
"""

import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from lab.gobuild import GoProgram, ModuleFile
from lab.places import CACHE

KUBERNETES_VERSION = "1.34.4"
REGISTRY_VERSION = "3.1.2"
PULUMI_VERSION = "3.274.1"
LANGUAGE_HOST_VERSION = "3.68.0"
KUBERNETES_PLUGIN_VERSION = "4.25.0"
ACTIONLINT_VERSION = "1.7.12"
BUILDX_VERSION = "0.38.2"
YAML_HOST_VERSION = "1.25.0"

_GIGABYTE = 10**9
_PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Program:
    """A program and its accepted versions: from `at_least` up to, but not including, `below`.

    `ask` are the arguments that print its version.
    """

    name: str
    ask: tuple[str, ...] = ()
    at_least: tuple[int, ...] = ()
    below: tuple[int, ...] = ()

    def serves(self, path: Path) -> bool:
        """Return whether the program at `path` runs and has an accepted version; without `ask` it need only exist."""
        if not self.ask:
            return True
        version = version_of(path, self.ask)
        return version is not None and self.at_least <= version < self.below


@dataclass(frozen=True)
class Part:
    """Programs that are built and used together.

    Attributes:
        name: the name for people.
        version: the version to build.
        purpose: what the lab needs it for.
        programs: the programs that it provides.
        builds: how to build them.
        disk: bytes that a first build needs, including Go's caches.
        from_path: whether programs on PATH are used.
    """

    name: str
    version: str
    purpose: str
    programs: tuple[Program, ...]
    builds: tuple[GoProgram, ...]
    disk: int
    from_path: bool = True

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def key(self) -> str:
        """Its name in the cache, which changes with the way it is built."""
        recipe = hashlib.sha256("".join(program.fingerprint() for program in self.builds).encode()).hexdigest()[:8]
        return f"{self.name.lower().replace(' ', '-')}-{self.version}-{recipe}"

    def find(self) -> dict[str, Path] | None:
        """Return the paths of its programs: on PATH if all are accepted, else in the cache, else None."""
        return (self.from_path and self._on_path()) or self._in_cache()

    def _on_path(self) -> dict[str, Path] | None:
        found = {program.name: path for program in self.programs if (path := debian.locate(program.name))}
        complete = len(found) == len(self.programs)  # checked first, because it is cheap
        return found if complete and all(program.serves(found[program.name]) for program in self.programs) else None

    def _in_cache(self) -> dict[str, Path] | None:
        folder = CACHE / self.key
        return {program.name: folder / program.name for program in self.programs} if folder.is_dir() else None


def version_of(program: Path, ask: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return the first version number in a program's output, or None if it fails or prints none."""
    try:
        answer = subprocess.run(
            [program, *ask],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    number = re.search(r"\d+\.\d+(\.\d+)?", answer.stdout)
    return tuple(map(int, number[0].split("."))) if number and answer.returncode == 0 else None


# From 1.35 on, the kubelet rejects cgroup v1 by default.
_KUBERNETES_DAEMONS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")

KUBERNETES = Part(
    name="Kubernetes",
    version=KUBERNETES_VERSION,
    purpose="the clusters: control plane, kubelet, kube-proxy, kubectl and etcd in one binary",
    programs=(
        *(Program(name, ("--version",), (1, 34), (1, 35)) for name in _KUBERNETES_DAEMONS),
        Program("kubectl", ("version", "--client"), (1, 33), (1, 36)),
        Program("etcd", ("--version",), (3, 6), (4,)),
    ),
    builds=(
        GoProgram(
            name="kube",
            module="kube",
            stamps=(
                f"k8s.io/component-base/version.gitVersion=v{KUBERNETES_VERSION}",
                "k8s.io/component-base/version.gitMajor=1",
                "k8s.io/component-base/version.gitMinor=34",
            ),
            links=(*_KUBERNETES_DAEMONS, "kubectl", "etcd"),
        ),
    ),
    disk=4 * _GIGABYTE,
)

REGISTRY = Part(
    name="registry",
    version=REGISTRY_VERSION,
    purpose="the OCI registry's image",
    programs=(Program("registry"),),
    builds=(
        GoProgram(
            name="registry",
            module="registry",
            package="github.com/distribution/distribution/v3/cmd/registry",
            stamps=(f"github.com/distribution/distribution/v3/version.version=v{REGISTRY_VERSION}",),
        ),
    ),
    disk=2 * _GIGABYTE,
    from_path=False,  # it is copied into an image FROM scratch, where only a static program starts
)

PULUMI = Part(
    name="Pulumi",
    version=PULUMI_VERSION,
    purpose="the Pulumi command and its Python language host",
    programs=(
        Program("pulumi", ("version",), (3, 244), (4,)),
        Program("pulumi-language-python"),
        Program("pulumi-language-python-exec"),
    ),
    builds=(
        GoProgram(
            name="pulumi",
            module="pulumi",
            package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            stamps=(f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI_VERSION}",),
            # An older launcher prints a traceback after every failed update.
            beside=(ModuleFile("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
        ),
        GoProgram(
            name="pulumi-language-python",
            module="pulumi-language-python",  # separate: the newest Go module that contains the host is an old version
            package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
            stamps=(f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{LANGUAGE_HOST_VERSION}",),
        ),
    ),
    disk=4 * _GIGABYTE,
)

_PLUGIN_MODULE = "github.com/pulumi/pulumi-kubernetes/provider/v4"

KUBERNETES_PLUGIN = Part(
    name="Pulumi Kubernetes plugin",
    version=KUBERNETES_PLUGIN_VERSION,
    purpose="the plugin behind pulumi_kubernetes, where it cannot be downloaded",
    programs=(Program("pulumi-resource-kubernetes"),),
    builds=(
        GoProgram(
            name="pulumi-resource-kubernetes",
            module="pulumi-resource-kubernetes",
            stamps=(f"{_PLUGIN_MODULE}/pkg/version.Version={KUBERNETES_PLUGIN_VERSION}",),
            embeds=(
                ModuleFile(_PLUGIN_MODULE, "cmd/pulumi-resource-kubernetes/schema.json"),
                ModuleFile(_PLUGIN_MODULE, "cmd/pulumi-resource-kubernetes/terraform-mapping.json"),
            ),
        ),
    ),
    disk=5 * _GIGABYTE,
    from_path=False,  # a plugin on PATH causes a warning in every run
)

ACTIONLINT = Part(
    name="actionlint",
    version=ACTIONLINT_VERSION,
    purpose="the check of the workflows under .github",
    programs=(Program("actionlint", ("-version",), (1, 7), (2,)),),
    builds=(GoProgram(name="actionlint", module="actionlint", package="github.com/rhysd/actionlint/cmd/actionlint"),),
    disk=_GIGABYTE,
)

BUILDX = Part(
    name="buildx",
    version=BUILDX_VERSION,
    purpose="the current `docker build`, with which tests compare builds",
    programs=(Program("buildx"),),
    builds=(GoProgram(name="buildx", module="buildx", package="github.com/docker/buildx/cmd/buildx"),),
    disk=2 * _GIGABYTE,
)

PULUMI_YAML = Part(
    name="Pulumi YAML",
    version=YAML_HOST_VERSION,
    purpose="Pulumi's language host for YAML, with which a test runs examples/yaml",
    programs=(Program("pulumi-language-yaml"),),
    builds=(
        GoProgram(
            name="pulumi-language-yaml",
            module="pulumi-language-yaml",
            package="github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml",
        ),
    ),
    disk=3 * _GIGABYTE,
)

PACKAGE_SDK = Part(
    name="Pulumi package SDK",
    version=PULUMI_VERSION,
    purpose="Pulumi's generators of SDKs for Go and TypeScript, against which a test compiles examples",
    programs=(Program("pulumi-package-sdk"),),
    builds=(GoProgram(name="pulumi-package-sdk", module="pulumi-package-sdk"),),
    disk=2 * _GIGABYTE,
)

PARTS = (KUBERNETES, REGISTRY, PULUMI)
