"""What a person can choose about one stack: the only defaults, the only validation.

A setting exists only where two real clusters need different values; all else is a named constant. The
config block of Pulumi.yaml and the README's table are generated from here (`make schema`).
"""

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from stack.endpoints import Endpoints, derive_push_port
from stack.kubeconfig_setting import with_home
from stack.names import short_name
from stack.problems import Checked, first_problem, renamings
from stack.renamed import with_new_names
from stack.repository import ALLOWED, Repository

_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?$"  # with room for what is added to it: a DNS label has 63
_QUANTITY = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|0+\.[0-9]*[1-9][0-9]*)([KMGTPE]i|[kMGTPE]|[eE][0-9]+)?$"
"""More than zero, with the suffixes of k8s.io/apimachinery's resource.Quantity that make whole bytes."""
_OF_A_RESOURCE = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
"""What a container asks for or may not exceed, as k8s.io/apimachinery's resource.Quantity reads it, not negative."""


def as_text(value: object) -> object:
    """The text of a number or truth value where text is meant; anything else as it is."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def from_json(value: object) -> object:
    """Structured config, which Pulumi passes as JSON text and fleet.yaml as values. Numbers keep their own text."""
    return json.loads(value, parse_int=str, parse_float=str) if isinstance(value, str) else value


def with_values(section: object) -> object:
    """A section without the keys that have no value; a section without value is empty."""
    if isinstance(section, Mapping):
        return {key: value for key, value in section.items() if value is not None}
    return {} if section is None else section


def with_texts(section: object) -> object:
    """A section without the keys that have no value or an empty text, which means not set."""
    kept = with_values(section)
    return {key: value for key, value in kept.items() if value != ""} if isinstance(kept, Mapping) else kept


Text = Annotated[str, BeforeValidator(as_text)]
"""What numbers and truth values are taken as where text is meant."""

Quantity = Annotated[Text, Field(pattern=_OF_A_RESOURCE)]
"""A quantity of a resource, such as 500m or 64Mi."""


def _setting(what: str, allowed: str, example: str, **rest: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field that can say what it is, what it takes and how it is set."""
    return Field(description=what, json_schema_extra={"allowed": allowed}, examples=[example], **rest)


def _part(what: str, allowed: str, path: str, example: str, default: object) -> Any:  # noqa: ANN401 - as pydantic's
    """A field of a setting with fields of its own: its example is the value of a part of it, at a path."""
    extra: dict[str, Any] = {"allowed": allowed, "path": path}
    return Field(description=what, json_schema_extra=extra, examples=[example], default=default)


class _Model(BaseModel):
    """Frozen, strict about names, written in Python's case and read in Pulumi's."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)


class ImageSettings(_Model):
    """How one image is built."""

    context: Text = _setting(
        "Folder of the build context, relative to the program.", "the path of a folder", "./app", default="."
    )
    dockerfile: Text = _setting(
        "Dockerfile, relative to the build context.", "the path of a file", "Dockerfile", default="Dockerfile"
    )
    target: Text | None = _setting(
        "Stage of the Dockerfile to build; the last one if not set.", "the name of a stage", "release", default=None
    )
    build_args: Annotated[dict[Text, Text], BeforeValidator(with_values)] = _setting(
        "Build arguments of the Dockerfile.", "a map of texts", "1", default={}
    )


class Toleration(_Model):
    """One toleration, with the fields that Kubernetes gives it."""

    key: Text | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Text | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Resources(_Model):
    """What a container asks for, and what it may not exceed."""

    requests: dict[Text, Quantity] = {}
    limits: dict[Text, Quantity] = {}


class PodSettings(_Model):
    """How the registry's pod is placed and run, beyond what every cluster takes."""

    node_selector: dict[Text, Text] = _part(
        "Labels that its node must have, besides kubernetes.io/os: linux.",
        "a map of labels",
        'nodeSelector["kubernetes.io/arch"]',
        "amd64",
        {},
    )
    tolerations: list[Toleration] = _part(
        "Taints that it tolerates.", "a list of tolerations", "tolerations[0].operator", "Exists", []
    )
    resources: Resources = _part(
        "Resources of each of its two containers, which replace the defaults key by key.",
        "a map of requests and limits, each of quantities such as 500m or 64Mi",
        "resources.limits.memory",
        "1Gi",
        Resources(),
    )
    priority_class: Text | None = _part(
        "Its priority class, and the node proxy's.",
        "the name of a priority class",
        "priorityClass",
        "system-cluster-critical",
        None,
    )
    user: Literal["fixed", "platform"] = _part(
        "Who it and the node proxy run as: a fixed user, or one that the platform gives, as OpenShift does.",
        "fixed or platform",
        "user",
        "platform",
        "fixed",
    )

    @property
    def has_fixed_user(self) -> bool:
        """Whether pods name their user and group."""
        return self.user == "fixed"


class ClaimSettings(_Model):
    """The registry's volume, as its PersistentVolumeClaim asks for it."""

    size: Annotated[str, BeforeValidator(as_text), Field(pattern=_QUANTITY)] = _part(
        "Its size.", "a quantity of more than zero, such as 500Mi or 10Gi", "size", "10Gi", "10Gi"
    )
    storage_class: Text | None = _part(
        "Its storage class; the cluster's default if not set.",
        "the name of a storage class",
        "storageClass",
        "standard",
        None,
    )


class ClusterAddress(_Model):
    """Where a registry is: its cluster, as a kubeconfig has it, and its namespace there."""

    kube_context: Text = _setting(
        "Kube context of the cluster, as `kubectl config get-contexts` names it; in-cluster for the service account of "
        "the pod that this runs in.",
        "the name of a kube context",
        "my-context",
        min_length=1,
    )
    kubeconfig: Annotated[str, AfterValidator(with_home)] | None = _setting(
        "Path of the kubeconfig file, or a kubeconfig itself; $KUBECONFIG or ~/.kube/config if not set.",
        "the path of a file, or the text of a kubeconfig",
        "~/.kube/config",
        default=None,
        repr=False,
    )
    namespace: Text = _setting(
        "Namespace that is made for the registry.",
        "at most 57 lower-case letters, digits and dashes",
        "kube-registry",
        default="kube-registry",
        pattern=_NAMESPACE,
    )

    _stack: str | None = PrivateAttr(default=None)
    _secret: frozenset[str] = PrivateAttr(default=frozenset())

    def model_post_init(self, context: tuple[Collection[str], str] | None, /) -> None:
        """Remember what no field says: which keys are secret, and whose settings these are."""
        secret, stack = context or ((), "")
        self._secret, self._stack = frozenset(secret), stack or None

    @property
    def stack(self) -> str | None:
        """Name of the stack, as Pulumi takes it; None where only the kube context is known."""
        return self._stack


class RegistrySettings(ClusterAddress):
    """All that is chosen about one registry."""

    _notes: tuple[str, ...] = PrivateAttr(default=())

    node_port: int = _setting(
        "Port of the registry on every node, within the cluster's node port range.",
        "a port number, in most clusters from 30000 to 32767",
        "30100",
        default=30100,
        ge=1,
        le=65535,
    )
    push_port: int = _setting(
        "Port on this machine that images are pushed to; derived from project and stack if not set.",
        "a port number from 1024 to 65535",
        "21000",
        ge=1024,
        le=65535,
    )
    claim: Annotated[ClaimSettings, BeforeValidator(with_texts), BeforeValidator(from_json)] = _part(
        "The registry's volume: size, 10Gi if not set, and storageClass, the cluster's default if not set.",
        "a map of size, storageClass",
        "size",
        "10Gi",
        ClaimSettings(),
    )
    registry_image: Text = _setting(
        "Image of the registry, version 3.1 or newer.",
        "an image reference",
        "docker.io/library/registry:3.1.2",
        default="docker.io/library/registry:3.1.2",
        min_length=1,
    )
    proxy_image: Text = _setting(
        "Image of the node proxy: HAProxy 2.6 or newer, with a shell.",
        "an image reference",
        "docker.io/library/haproxy:3.2-alpine",
        default="docker.io/library/haproxy:3.2-alpine",
        min_length=1,
    )
    platform: Text = _setting(
        "Platform that images are built for.",
        "linux/ and an architecture, such as linux/amd64 or linux/arm64",
        "linux/amd64",
        default="linux/amd64",
        pattern=r"^linux/[a-z0-9]+(/[a-z0-9]+)?$",
    )
    preflight: bool = _setting(
        "Whether every node has to prove that it can pull before anything is built.",
        "true or false",
        "true",
        default=True,
    )
    exposure: Literal["nodePort", "nodeProxy"] = _setting(
        "What answers on every node's loopback: the node port, or a node proxy where kube-proxy does not do it.",
        "nodePort or nodeProxy",
        "nodePort",
        default="nodePort",
    )
    retain: bool = _setting(
        "Whether the registry's volume stays when the stack is destroyed, to be found again by the next one.",
        "true or false",
        "false",
        default=False,
    )
    local_registry_hosting: bool = _setting(
        "Whether the cluster tells tools such as Tilt of the registry, in a ConfigMap of kube-public (KEP-1755).",
        "true or false",
        "false",
        default=False,
    )
    pod: Annotated[PodSettings, BeforeValidator(with_values), BeforeValidator(from_json)] = _part(
        "How the registry's pod is placed and run: nodeSelector, tolerations, resources, priorityClass, user.",
        "a map of nodeSelector, tolerations, resources, priorityClass, user",
        "user",
        "platform",
        PodSettings(),
    )

    @classmethod
    def parse(cls, config: Mapping[str, object], *, project: str, stack: str, secret: Collection[str] = ()) -> Self:
        """Settings from a stack's config.

        Args:
            config: key -> value as Pulumi writes them, the project's name before the key or not; keys of other
                namespaces are passed over, and an empty value means not set.
            project: name of the Pulumi project.
            stack: name of the stack, as Pulumi takes it; with the project it gives the push port that is used if none
                is set. Empty where only the kube context is known; then the config has the push port.
            secret: the keys of the config whose values are secret: no error repeats them.

        Raises:
            SettingsError: a key is missing, unknown or has a value that is not allowed.
        """
        own = {key.removeprefix(f"{project}:"): value for key, value in config.items()}
        given = {key: value for key, value in own.items() if ":" not in key and value not in (None, "")}
        if given.get("pushPort") in (None, 0, "0"):  # Pulumi.yaml has 0 for one that was left out
            given["pushPort"] = derive_push_port(project, short_name(stack))
        hidden = {key.removeprefix(f"{project}:") for key in secret}
        current = with_new_names(given)
        sections = {"pod": described(PodSettings), "claim": described(ClaimSettings)}
        checked = Checked(given, current, hidden, described(cls), described(ImageSettings), sections)
        try:
            settings = cls.model_validate(current, context=(hidden, stack))
        except ValidationError as error:
            raise first_problem(error, checked) from None
        settings._notes = tuple(renamings(checked))  # noqa: SLF001 - of this class
        return settings

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each setting that has its old name, with the commands that give it the new one."""
        return self._notes

    @property
    def has_node_proxy(self) -> bool:
        """Whether a node proxy runs on every node."""
        return self.exposure == "nodeProxy"

    @property
    def proxy_namespace(self) -> str:
        """Namespace of the node proxy; another one than the registry's, because Pod Security allows more there."""
        return f"{self.namespace}-proxy"

    @property
    def endpoints(self) -> Endpoints:
        """The two addresses of this stack's registry."""
        return Endpoints(node_port=self.node_port, push_port=self.push_port)


class Settings(RegistrySettings):
    """All that is chosen about one stack, checked."""

    images: Annotated[
        dict[Repository, Annotated[ImageSettings, BeforeValidator(with_values)]], BeforeValidator(from_json)
    ] = _setting(
        "Images to build and push: repository name -> context, dockerfile, target, buildArgs.",
        f"at least one image, named by its repository: {ALLOWED}",
        "./app",
        min_length=1,
    )

    @property
    def has_secret_build_args(self) -> bool:
        """Whether build arguments are secret. Pulumi marks the whole key `images`, so then all of them are."""
        return "images" in self._secret and any(image.build_args for image in self.images.values())


def described(model: type[BaseModel] = Settings) -> dict[str, FieldInfo]:
    """The keys that exist, as Pulumi writes them, and what is known of each."""
    return {to_camel(name): field for name, field in model.model_fields.items()}
