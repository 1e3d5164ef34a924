"""The table of the parts that the lab needs, and builds if they are missing.

Kubernetes, containerd and Docker are one part for each of their versions (lab/versions.py). Debian's packages are
listed in lab/debian.py.
"""

from lab.gobuild import GoProgram, ModuleFile
from lab.part import Part, Program
from lab.versions import NEWEST, OLDEST, Versions

REGISTRY_VERSION = "3.1.2"
PULUMI_VERSION = "3.274.1"
LANGUAGE_HOST_VERSION = "3.68.0"
KUBERNETES_PLUGIN_VERSION = "4.25.0"
ACTIONLINT_VERSION = "1.7.12"
BUILDX_VERSION = "0.38.2"
YAML_HOST_VERSION = "1.25.0"

_GIGABYTE = 10**9

_KUBERNETES_DAEMONS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet")


def _kubernetes(version: str, module: str) -> Part:
    minor = int(version.split(".")[1])
    return Part(
        name="Kubernetes",
        version=version,
        purpose="the clusters: control plane, kubelet, kube-proxy, kubectl and etcd in one binary",
        programs=(
            *(Program(name, ("--version",), (1, minor), (1, minor + 1)) for name in _KUBERNETES_DAEMONS),
            Program("kubectl", ("version", "--client"), (1, minor - 1), (1, minor + 2)),
            Program("etcd", ("--version",), (3, 6), (4,)),
        ),
        builds=(
            GoProgram(
                name="kube",
                module=module,
                stamps=(
                    f"k8s.io/component-base/version.gitVersion=v{version}",
                    "k8s.io/component-base/version.gitMajor=1",
                    f"k8s.io/component-base/version.gitMinor={minor}",
                ),
                links=(*_KUBERNETES_DAEMONS, "kubectl", "etcd"),
            ),
        ),
        disk=4 * _GIGABYTE,
    )


_CONTAINERS = "containers"
"""The module of containerd and Docker, which share most of their packages, so that Go compiles these once."""


def _containerd(below: tuple[int, ...], version: str, builds: tuple[GoProgram, ...]) -> Part:
    numbers = tuple(map(int, version.split(".")[:2]))
    return Part(
        name="containerd",
        version=version,
        purpose="the container runtime of the nodes and of the Docker engine",
        programs=(
            Program("containerd", ("--version",), numbers, below),
            Program("ctr", ("--version",), numbers, below),
            Program("containerd-shim-runc-v2", ("-v",), numbers, below),
        ),
        builds=builds,
        disk=2 * _GIGABYTE,
    )


def _docker(below: tuple[int, ...], version: str, builds: tuple[GoProgram, ...]) -> Part:
    numbers = tuple(map(int, version.split(".")[:2]))
    return Part(
        name="Docker",
        version=version,
        purpose="the engine that builds and pushes",
        programs=(Program("dockerd", ("--version",), numbers, below),),
        builds=builds,
        disk=3 * _GIGABYTE,
    )


KUBERNETES = {
    NEWEST.kubernetes: _kubernetes(NEWEST.kubernetes, "kube-1.37"),
    OLDEST.kubernetes: _kubernetes(OLDEST.kubernetes, "kube"),
}

CONTAINERD = {
    NEWEST.containerd: _containerd(
        (2, 5),
        NEWEST.containerd,
        tuple(
            GoProgram(
                name=name,
                module=_CONTAINERS,
                package=f"github.com/containerd/containerd/v2/cmd/{name}",
                stamps=(f"github.com/containerd/containerd/v2/version.Version=v{NEWEST.containerd}",),
            )
            for name in ("containerd", "ctr", "containerd-shim-runc-v2")
        ),
    ),
    OLDEST.containerd: _containerd((1, 7), OLDEST.containerd, ()),
}

DOCKER = {
    NEWEST.docker: _docker(
        (30,),
        NEWEST.docker,
        (
            GoProgram(
                name="dockerd",
                module=_CONTAINERS,
                package="github.com/moby/moby/v2/cmd/dockerd",
                stamps=(f"github.com/moby/moby/v2/dockerversion.Version={NEWEST.docker}",),
                tags=("exclude_graphdriver_btrfs", "exclude_graphdriver_zfs"),
            ),
        ),
    ),
    OLDEST.docker: _docker((20, 11), OLDEST.docker, ()),
}

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

EXTRAS = (KUBERNETES_PLUGIN, ACTIONLINT, BUILDX, PULUMI_YAML, PACKAGE_SDK)
"""Parts that only some commands and tests need."""


def of_cluster(versions: Versions) -> tuple[Part, ...]:
    """Return the parts of a cluster."""
    return KUBERNETES[versions.kubernetes], CONTAINERD[versions.containerd], REGISTRY


def of_engine(docker: str) -> tuple[Part, ...]:
    """Return the parts of a Docker engine; it starts its own containerd."""
    return DOCKER[docker], CONTAINERD[NEWEST.containerd if docker == NEWEST.docker else OLDEST.containerd]


def needed(versions: Versions) -> tuple[Part, ...]:
    """Return the parts that the demo and the tests need."""
    return tuple(dict.fromkeys([*of_cluster(versions), *of_engine(versions.docker), PULUMI]))
