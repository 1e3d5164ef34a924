"""What a person can choose about one stack: the only defaults, the only validation.

A setting exists only where two real clusters need different values; all else is a named constant. The
config block of Pulumi.yaml is generated from here (`make schema`).
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from stack.endpoints import Endpoints, derive_push_port
from stack.errors import SettingsError

_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_Repository = Annotated[str, Field(pattern=rf"^{_COMPONENT}(/{_COMPONENT})*$")]
_NOT_SET = (None, "", 0, "0")
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


def _from_json(value: object) -> object:
    """Pulumi hands structured config on as JSON text; fleet.yaml and tests as values."""
    return json.loads(value) if isinstance(value, str) else value


class _Model(BaseModel):
    """Frozen, strict about names, written in Python's case and read in Pulumi's."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)


class ImageSettings(_Model):
    """How one image is built."""

    context: str = Field(default=".", description="Folder of the build context, relative to the program.")
    dockerfile: str = Field(default="Dockerfile", description="Dockerfile, relative to the build context.")
    target: str | None = Field(default=None, description="Stage of the Dockerfile to build; the last one if not set.")
    build_args: dict[str, str] = Field(default={}, description="Build arguments of the Dockerfile.")


class Settings(_Model):
    """All that is chosen about one stack, checked."""

    kube_context: str = Field(
        min_length=1,
        description="Kube context of the cluster, as `kubectl config get-contexts` names it.",
    )
    kubeconfig: str | None = Field(
        default=None,
        description="Path of the kubeconfig file; $KUBECONFIG or ~/.kube/config if not set.",
    )
    namespace: str = Field(
        default="kube-registry",
        pattern=_DNS_LABEL,
        description="Namespace that is made for the registry.",
    )
    node_port: int = Field(
        default=30100,
        ge=1,
        le=65535,
        description="Port of the registry on every node, within the cluster's node port range.",
    )
    push_port: int = Field(
        ge=1024,
        le=65535,
        description="Port on this machine that images are pushed to; derived from project and stack if not set.",
    )
    storage_size: str = Field(
        default="10Gi",
        pattern=r"^[0-9]+(\.[0-9]+)?([KMGTP]i?)?$",
        description="Size of the registry's volume.",
    )
    storage_class: str | None = Field(
        default=None,
        description="Storage class of the registry's volume; the cluster's default if not set.",
    )
    registry_image: str = Field(
        default="docker.io/library/registry:3.1.2",
        min_length=1,
        description="Image of the registry, version 3.1 or newer.",
    )
    platform: str = Field(
        default="linux/amd64",
        pattern=r"^linux/[a-z0-9]+(/[a-z0-9]+)?$",
        description="Platform that images are built for.",
    )
    images: Annotated[dict[_Repository, ImageSettings], BeforeValidator(_from_json)] = Field(
        min_length=1,
        description="Images to build and push: repository name -> context, dockerfile, target, buildArgs.",
    )

    @classmethod
    def parse(cls, config: Mapping[str, object], *, project: str, stack: str) -> Self:
        """Settings from a stack's config.

        Args:
            config: key -> value as Pulumi writes them; an empty value means not set.
            project: name of the Pulumi project.
            stack: name of the stack; with the project it gives the push port that is used if none is set.

        Raises:
            SettingsError: a key is missing, unknown or has a value that is not allowed.
        """
        given = {key: value for key, value in config.items() if value not in _NOT_SET}
        given.setdefault("pushPort", derive_push_port(project, stack))
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _first_problem(error) from None

    @property
    def endpoints(self) -> Endpoints:
        """The two addresses of this stack's registry."""
        return Endpoints(node_port=self.node_port, push_port=self.push_port)


def keys() -> tuple[str, ...]:
    """The config keys that exist, as Pulumi writes them."""
    return tuple(to_camel(name) for name in Settings.model_fields)


def _first_problem(error: ValidationError) -> SettingsError:
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "config"
    problem = "is missing" if first["type"] == "missing" else f"{first['input']!r} is not allowed: {first['msg']}"
    return SettingsError(key=key, problem=problem, mend=f"set it with `pulumi config set --path {key} VALUE`")
