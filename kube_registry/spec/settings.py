"""The settings of one stack. Defaults and validation are defined here only.

A setting exists only if two real clusters need different values; everything else is a named constant. The config block
of Pulumi.yaml and the table of docs/settings.md are generated from this module (`make schema`).
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, PrivateAttr, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kube_registry.names import short_name
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.conflicts import conflicts
from kube_registry.spec.corrections import Checked
from kube_registry.spec.endpoints import Endpoints, Exposure, derive_push_port
from kube_registry.spec.fields import Text, from_json, or_none, setting, with_texts, with_values
from kube_registry.spec.problems import first_problem, renamings
from kube_registry.spec.renamed import with_new_names
from kube_registry.spec.repository import ALLOWED, Repository
from kube_registry.spec.sections import ClaimSettings, ImageSettings, MetricsSettings, PodSettings, S3Settings
from kube_registry.spec.shared_volume import SHARED_KEYS, SharedVolumeSettings

SECTIONS: dict[str, type[BaseModel]] = {
    "pod": PodSettings,
    "claim": ClaimSettings,
    "s3": S3Settings,
    "metrics": MetricsSettings,
    "sharedVolume": SharedVolumeSettings,
}
"""Settings with nested fields -> those fields."""


class RegistrySettings(ClusterAddress):
    """The settings of one registry."""

    _notes: tuple[str, ...] = PrivateAttr(default=())

    node_port: int = setting(
        "Port of the registry on every node: in the cluster's node port range, or any free one from 1024 if exposure "
        "is nodeProxy.",
        "a port number, in most clusters from 30000 to 32767, or from 1024 to 65535 if exposure is nodeProxy",
        "30100",
        default=30100,
        ge=1,
        le=65535,
    )
    push_port: int = setting(
        "Port on this machine to push images to; derived from project and stack if not set.",
        "a port number from 1024 to 65535",
        "21000",
        ge=1024,
        le=65535,
    )
    claim: Annotated[ClaimSettings, BeforeValidator(with_texts)] = setting(
        "The registry's volume: size, 10Gi if not set, and storageClass, the cluster's default if not set.",
        "a map of size, storageClass",
        "10Gi",
        path="size",
        default=ClaimSettings(),
    )
    s3: Annotated[S3Settings | None, BeforeValidator(or_none)] = setting(
        "The bucket that stores the images instead of a volume: bucket, region, endpoint, rootFolder, redirect, "
        "secret, serviceAccountAnnotations.",
        "a map of bucket, region, endpoint, rootFolder, redirect, secret, serviceAccountAnnotations",
        "my-bucket",
        path="bucket",
        default=None,
    )
    replicas: int = setting(
        "Number of the registry's pods; more than one requires s3.", "a whole number from 1", "1", default=1, ge=1
    )
    registry_image: Text = setting(
        "Image of the registry, version 3.1 or newer.",
        "an image reference",
        "docker.io/library/registry:3.1.2",
        default="docker.io/library/registry:3.1.2",
        min_length=1,
    )
    proxy_image: Text = setting(
        "Image of the node proxy: HAProxy 2.6 or newer, with a shell.",
        "an image reference",
        "docker.io/library/haproxy:3.2-alpine",
        default="docker.io/library/haproxy:3.2-alpine",
        min_length=1,
    )
    platform: Text = setting(
        "Platform to build images for.",
        "linux/ and an architecture, such as linux/amd64 or linux/arm64",
        "linux/amd64",
        default="linux/amd64",
        pattern=r"^linux/[a-z0-9]+(/[a-z0-9]+)?$",
    )
    preflight: bool = setting(
        "Whether to check that every node can pull before any image is built.",
        "true or false",
        "true",
        default=True,
    )
    exposure: Exposure = setting(
        "What serves the registry on every node's loopback: nodePort, or nodeProxy if kube-proxy does not serve node "
        "ports there.",
        "nodePort or nodeProxy",
        "nodePort",
        default="nodePort",
    )
    retain: bool = setting(
        "Whether to keep the registry's volume when the stack is destroyed, so that the next one reuses it.",
        "true or false",
        "false",
        default=False,
    )
    local_registry_hosting: bool = setting(
        "Whether to advertise the registry to tools such as Tilt, in a ConfigMap of kube-public (KEP-1755).",
        "true or false",
        "false",
        default=False,
    )
    keep_local_tags: bool = setting(
        "Whether to keep the tag of an image's previous build in the Docker daemon after a new one is pushed.",
        "true or false",
        "true",
        default=False,
    )
    pod: Annotated[PodSettings, BeforeValidator(with_values)] = setting(
        "Scheduling and user of the registry's pod: nodeSelector, tolerations, resources, priorityClass, user.",
        "a map of nodeSelector, tolerations, resources, priorityClass, user",
        "platform",
        path="user",
        default=PodSettings(),
    )
    metrics: Annotated[MetricsSettings | None, BeforeValidator(or_none)] = setting(
        "Metrics for Prometheus: namespace, the one that Prometheus runs in, serviceMonitor and serviceMonitorLabels; "
        "none if not set.",
        "a map of namespace, serviceMonitor, serviceMonitorLabels",
        "monitoring",
        path="namespace",
        default=None,
    )
    shared_volume: Annotated[SharedVolumeSettings | None, BeforeValidator(or_none)] = setting(
        f"A volume that pods of all nodes read and write: {SHARED_KEYS}; none if not set.",
        f"a map of {SHARED_KEYS}",
        "5Gi",
        path="claims.default",
        default=None,
    )

    @classmethod
    def parse(
        cls,
        config: Mapping[str, object],
        *,
        project: str,
        stack: str,
        secret: Collection[str] = (),
        component: str | None = None,
    ) -> Self:
        """Validate a stack's config.

        Args:
            config: key -> value, as in `pulumi config --json`. The project's name before a key is optional, keys of
                other namespaces are ignored, and an empty value means "not set".
            project: name of the Pulumi project.
            stack: name of the stack, as `pulumi --stack` accepts it. The default push port is derived from project and
                stack. Empty if only the kube context is known; then the config has to contain the push port.
            secret: keys with secret values, which errors do not print.
            component: name of the ClusterRegistry that has these arguments; None if they are a stack's config.

        Raises:
            SettingsError: a key is missing, unknown or has a value that is not allowed.
        """
        own = {key.removeprefix(f"{project}:"): value for key, value in config.items()}
        given = {key: value for key, value in own.items() if ":" not in key and value not in (None, "")}
        sections = {key: described(kind) for key, kind in SECTIONS.items()}
        given |= {key: from_json(given[key]) for key in given.keys() & {"images", *sections}}
        if given.get("pushPort") in (None, 0, "0"):  # 0 is the default in Pulumi.yaml and means "not set"
            given["pushPort"] = derive_push_port(project, short_name(stack))
        hidden = {key.removeprefix(f"{project}:") for key in secret}
        current = with_new_names(given)
        checked = Checked(given, current, hidden, described(cls), described(ImageSettings), sections)
        try:
            settings = cls.model_validate(current, context=(hidden, stack, component))
        except ValidationError as error:
            raise first_problem(error, checked) from None
        for problem in conflicts(settings, checked):
            raise problem
        settings._notes = tuple(renamings(checked))  # noqa: SLF001 - of this class
        return settings

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a message for each setting that uses its old name, with the commands that rename it."""
        return self._notes

    @property
    def unused(self) -> set[str]:
        """Return the settings that have no meaning with the others, and are therefore not stored with them."""
        return {"claim"} if self.s3 else set()

    @property
    def architecture(self) -> str:
        """Return the architecture of the images."""
        return self.platform.split("/")[1]

    @property
    def has_node_proxy(self) -> bool:
        """Return whether a node proxy runs on every node."""
        return self.exposure == "nodeProxy"

    @property
    def node_proxy_namespace(self) -> str:
        """Return the node proxy's namespace, which is separate because it needs a less strict Pod Security level."""
        return f"{self.namespace}-proxy"

    @property
    def shared_namespace(self) -> str:
        """Return the NFS server's namespace, which is separate for the same reason."""
        return (self.shared_volume and self.shared_volume.namespace) or f"{self.namespace}-shared"

    @property
    def endpoints(self) -> Endpoints:
        """Return the addresses of this stack's registry."""
        return Endpoints(node_port=self.node_port, push_port=self.push_port, namespace=self.namespace)


class Settings(RegistrySettings):
    """The validated settings of one stack."""

    images: dict[Repository, Annotated[ImageSettings, BeforeValidator(with_values)]] = setting(
        "Images to build and push: repository name -> context, dockerfile, target, buildArgs.",
        f"a map of at least one image, named by its repository: {ALLOWED}",
        "./app",
        min_length=1,
    )

    @property
    def has_secret_build_args(self) -> bool:
        """Return whether build arguments are secret. Pulumi marks only the whole key `images`, with all of them."""
        return "images" in self._secret and any(image.build_args for image in self.images.values())


def described(model: type[BaseModel] = Settings) -> dict[str, FieldInfo]:
    """Return the settings of a model by their keys in camel case."""
    return {to_camel(name): field for name, field in model.model_fields.items()}
