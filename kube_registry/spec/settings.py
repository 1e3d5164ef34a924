"""What a person can choose about one stack: the only defaults, the only validation.

A setting exists only where two real clusters need different values; all else is a named constant. The
config block of Pulumi.yaml and the README's table are generated from here (`make schema`).
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, PrivateAttr, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from kube_registry.errors import Where
from kube_registry.kubeconfig_setting import with_home
from kube_registry.names import short_name
from kube_registry.spec.corrections import Checked
from kube_registry.spec.endpoints import Endpoints, derive_push_port
from kube_registry.spec.fields import Section, Text, from_json, setting, with_texts, with_values
from kube_registry.spec.problems import first_problem, renamings
from kube_registry.spec.renamed import with_new_names
from kube_registry.spec.repository import ALLOWED, Repository
from kube_registry.spec.sections import ClaimSettings, ImageSettings, PodSettings

_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?$"  # with room for what is added to it: a DNS label has 63


class ClusterAddress(Section):
    """Where a registry is: its cluster, as a kubeconfig has it, and its namespace there."""

    kube_context: Text = setting(
        "Kube context of the cluster, as `kubectl config get-contexts` names it; in-cluster for the service account of "
        "the pod that this runs in.",
        "the name of a kube context",
        "my-context",
        min_length=1,
    )
    kubeconfig: Annotated[str, AfterValidator(with_home)] | None = setting(
        "Path of the kubeconfig file, or a kubeconfig itself; $KUBECONFIG or ~/.kube/config if not set.",
        "the path of a file, or the text of a kubeconfig",
        "~/.kube/config",
        default=None,
        repr=False,
    )
    namespace: Text = setting(
        "Namespace that is made for the registry.",
        "at most 57 lower-case letters, digits and dashes",
        "kube-registry",
        default="kube-registry",
        pattern=_NAMESPACE,
    )

    _stack: str | None = PrivateAttr(default=None)
    _component: str | None = PrivateAttr(default=None)
    _secret: frozenset[str] = PrivateAttr(default=frozenset())

    def model_post_init(self, context: tuple[Collection[str], str, str | None] | None, /) -> None:
        """Remember what no field says: which keys are secret, and whose settings these are."""
        secret, stack, component = context or ((), "", None)
        self._secret, self._stack, self._component = frozenset(secret), stack or None, component

    @property
    def stack(self) -> str | None:
        """Name of the stack, as Pulumi takes it; None where only the kube context is known."""
        return self._stack

    @property
    def component(self) -> str | None:
        """Name of the ClusterRegistry whose arguments these are; None where they are a stack's config."""
        return self._component

    @property
    def where(self) -> Where:
        """This place, as errors name it before a cluster is asked."""
        return Where(
            "cluster not known", self.kube_context, self.namespace, self.kubeconfig, self.stack, self.component
        )


class RegistrySettings(ClusterAddress):
    """All that is chosen about one registry."""

    _notes: tuple[str, ...] = PrivateAttr(default=())

    node_port: int = setting(
        "Port of the registry on every node, within the cluster's node port range.",
        "a port number, in most clusters from 30000 to 32767",
        "30100",
        default=30100,
        ge=1,
        le=65535,
    )
    push_port: int = setting(
        "Port on this machine that images are pushed to; derived from project and stack if not set.",
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
        "Platform that images are built for.",
        "linux/ and an architecture, such as linux/amd64 or linux/arm64",
        "linux/amd64",
        default="linux/amd64",
        pattern=r"^linux/[a-z0-9]+(/[a-z0-9]+)?$",
    )
    preflight: bool = setting(
        "Whether every node has to prove that it can pull before anything is built.",
        "true or false",
        "true",
        default=True,
    )
    exposure: Literal["nodePort", "nodeProxy"] = setting(
        "What answers on every node's loopback: the node port, or a node proxy where kube-proxy does not do it.",
        "nodePort or nodeProxy",
        "nodePort",
        default="nodePort",
    )
    retain: bool = setting(
        "Whether the registry's volume stays when the stack is destroyed, to be found again by the next one.",
        "true or false",
        "false",
        default=False,
    )
    local_registry_hosting: bool = setting(
        "Whether the cluster tells tools such as Tilt of the registry, in a ConfigMap of kube-public (KEP-1755).",
        "true or false",
        "false",
        default=False,
    )
    pod: Annotated[PodSettings, BeforeValidator(with_values)] = setting(
        "How the registry's pod is placed and run: nodeSelector, tolerations, resources, priorityClass, user.",
        "a map of nodeSelector, tolerations, resources, priorityClass, user",
        "platform",
        path="user",
        default=PodSettings(),
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
        """Settings from a stack's config.

        Args:
            config: key -> value as Pulumi writes them, the project's name before the key or not; keys of other
                namespaces are passed over, and an empty value means not set.
            project: name of the Pulumi project.
            stack: name of the stack, as Pulumi takes it; with the project it gives the push port that is used if none
                is set. Empty where only the kube context is known; then the config has the push port.
            secret: the keys of the config whose values are secret: no error repeats them.
            component: name of the ClusterRegistry whose arguments these are; None where they are a stack's config.

        Raises:
            SettingsError: a key is missing, unknown or has a value that is not allowed.
        """
        own = {key.removeprefix(f"{project}:"): value for key, value in config.items()}
        given = {key: value for key, value in own.items() if ":" not in key and value not in (None, "")}
        sections = {"pod": described(PodSettings), "claim": described(ClaimSettings)}
        given |= {key: from_json(given[key]) for key in given.keys() & {"images", *sections}}
        if given.get("pushPort") in (None, 0, "0"):  # Pulumi.yaml has 0 for one that was left out
            given["pushPort"] = derive_push_port(project, short_name(stack))
        hidden = {key.removeprefix(f"{project}:") for key in secret}
        current = with_new_names(given)
        checked = Checked(given, current, hidden, described(cls), described(ImageSettings), sections)
        try:
            settings = cls.model_validate(current, context=(hidden, stack, component))
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
    def node_proxy_namespace(self) -> str:
        """Namespace of the node proxy; another one than the registry's, because Pod Security allows more there."""
        return f"{self.namespace}-proxy"

    @property
    def endpoints(self) -> Endpoints:
        """The two addresses of this stack's registry."""
        return Endpoints(node_port=self.node_port, push_port=self.push_port)


class Settings(RegistrySettings):
    """All that is chosen about one stack, checked."""

    images: dict[Repository, Annotated[ImageSettings, BeforeValidator(with_values)]] = setting(
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
