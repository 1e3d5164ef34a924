"""What a person can choose about one stack: the only defaults, the only validation.

A setting exists only where two real clusters need different values; all else is a named constant. The
config block of Pulumi.yaml and the README's table are generated from here (`make schema`).
"""

import difflib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from stack.endpoints import Endpoints, derive_push_port
from stack.errors import SettingsError

_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_Repository = Annotated[str, Field(pattern=rf"^{_COMPONENT}(/{_COMPONENT})*$")]
_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?$"  # with room for what is added to it: a DNS label has 63
_QUANTITY = r"^[0-9]+(\.[0-9]+)?([KMGTP]i?)?$"


def _from_json(value: object) -> object:
    """Pulumi hands structured config on as JSON text; fleet.yaml and tests as values."""
    return json.loads(value) if isinstance(value, str) else value


def _is_set(value: object) -> bool:
    """Whether a key has a value: Pulumi has an empty one, or 0, for a key that was left out."""
    return value is False or value not in (None, "", 0, "0")


def _with_home(path: str) -> str:
    return str(Path(path).expanduser())


def _setting(what: str, allowed: str, example: str, **rest: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field that can say what it is, what it takes and how it is set."""
    return Field(description=what, json_schema_extra={"allowed": allowed}, examples=[example], **rest)


class _Model(BaseModel):
    """Frozen, strict about names, written in Python's case and read in Pulumi's."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)


class ImageSettings(_Model):
    """How one image is built."""

    context: str = _setting(
        "Folder of the build context, relative to the program.", "the path of a folder", "./app", default="."
    )
    dockerfile: str = _setting(
        "Dockerfile, relative to the build context.", "the path of a file", "Dockerfile", default="Dockerfile"
    )
    target: str | None = _setting(
        "Stage of the Dockerfile to build; the last one if not set.", "the name of a stage", "release", default=None
    )
    build_args: dict[str, str] = _setting(
        "Build arguments of the Dockerfile.", "a map of texts", "VERSION=1", default={}
    )


class Settings(_Model):
    """All that is chosen about one stack, checked."""

    kube_context: str = _setting(
        "Kube context of the cluster, as `kubectl config get-contexts` names it; in-cluster for the service account of "
        "the pod that this runs in.",
        "the name of a kube context",
        "my-context",
        min_length=1,
    )
    kubeconfig: Annotated[str, AfterValidator(_with_home)] | None = _setting(
        "Path of the kubeconfig file; $KUBECONFIG or ~/.kube/config if not set.",
        "the path of a file",
        "~/.kube/config",
        default=None,
    )
    namespace: str = _setting(
        "Namespace that is made for the registry.",
        "at most 57 lower-case letters, digits and dashes",
        "kube-registry",
        default="kube-registry",
        pattern=_NAMESPACE,
    )
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
    storage_size: str = _setting(
        "Size of the registry's volume.",
        "a quantity such as 500Mi or 10Gi",
        "10Gi",
        default="10Gi",
        pattern=_QUANTITY,
    )
    storage_class: str | None = _setting(
        "Storage class of the registry's volume; the cluster's default if not set.",
        "the name of a storage class",
        "standard",
        default=None,
    )
    registry_image: str = _setting(
        "Image of the registry, version 3.1 or newer.",
        "an image reference",
        "docker.io/library/registry:3.1.2",
        default="docker.io/library/registry:3.1.2",
        min_length=1,
    )
    proxy_image: str = _setting(
        "Image of the node proxy: HAProxy 2.6 or newer, with a shell.",
        "an image reference",
        "docker.io/library/haproxy:3.2-alpine",
        default="docker.io/library/haproxy:3.2-alpine",
        min_length=1,
    )
    platform: str = _setting(
        "Platform that images are built for.",
        "linux/ and an architecture",
        "linux/arm64",
        default="linux/amd64",
        pattern=r"^linux/[a-z0-9]+(/[a-z0-9]+)?$",
    )
    preflight: bool = _setting(
        "Whether every node has to prove that it can pull before anything is built.",
        "true or false",
        "false",
        default=True,
    )
    node_proxy: bool = _setting(
        "Whether a node proxy answers on every node's loopback, for nodes where kube-proxy does not.",
        "true or false",
        "true",
        default=False,
    )
    retain: bool = _setting(
        "Whether the registry's volume stays when the stack is destroyed, to be found again by the next one.",
        "true or false",
        "true",
        default=False,
    )
    local_registry_hosting: bool = _setting(
        "Whether the cluster tells tools such as Tilt of the registry, in a ConfigMap of kube-public (KEP-1755).",
        "true or false",
        "true",
        default=False,
    )
    images: Annotated[dict[_Repository, ImageSettings], BeforeValidator(_from_json)] = _setting(
        "Images to build and push: repository name -> context, dockerfile, target, buildArgs.",
        "at least one image, named by its repository: lower-case letters and digits, parted by single . _ - or /",
        "./app",
        min_length=1,
    )

    @classmethod
    def parse(cls, config: Mapping[str, object], *, project: str, stack: str) -> Self:
        """Settings from a stack's config.

        Args:
            config: key -> value as Pulumi writes them, the project's name before the key or not; keys of other
                namespaces are passed over, and an empty value means not set.
            project: name of the Pulumi project.
            stack: name of the stack; with the project it gives the push port that is used if none is set.

        Raises:
            SettingsError: a key is missing, unknown or has a value that is not allowed.
        """
        own = {key.removeprefix(f"{project}:"): value for key, value in config.items()}
        given = {key: value for key, value in own.items() if ":" not in key and _is_set(value)}
        given.setdefault("pushPort", derive_push_port(project, stack))
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise _first_problem(error) from None

    @property
    def proxy_namespace(self) -> str:
        """Namespace of the node proxy; another one than the registry's, because Pod Security allows more there."""
        return f"{self.namespace}-proxy"

    @property
    def endpoints(self) -> Endpoints:
        """The two addresses of this stack's registry."""
        return Endpoints(node_port=self.node_port, push_port=self.push_port)


def described(model: type[BaseModel] = Settings) -> dict[str, FieldInfo]:
    """The keys that exist, as Pulumi writes them, and what is known of each."""
    return {to_camel(name): field for name, field in model.model_fields.items()}


def _first_problem(error: ValidationError) -> SettingsError:
    """The first of pydantic's findings, as a sentence that ends with the line that mends it."""
    first: Any = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"] if part != "[key]"]
    of_an_image = place[0] == "images" and len(place) > 2  # noqa: PLR2004 - images, a name, a setting of its own
    fields = described(ImageSettings if of_an_image else Settings)
    name = place[2] if of_an_image else place[0]
    key = ".".join(place)
    if name not in fields:
        meant = _nearest(name, fields)
        hint = f", {meant} is meant" if meant else f"; known are {', '.join(fields)}"
        mend = [f"`pulumi config rm --path {_path(place)}`"]
        mend += [f"`pulumi config set --path {_path([*place[:-1], meant])} {_example(fields[meant])}`"] if meant else []
        return SettingsError(key=key, problem=f"there is no such setting{hint}", mend=" and ".join(mend))
    allowed = dict(fields[name].json_schema_extra or {})["allowed"]  # type: ignore[arg-type]
    found = "it is missing" if first["type"] == "missing" else f"{first['input']!r} is not allowed"
    target = ["images", "app", "context"] if place[0] == "images" and not of_an_image else place
    return SettingsError(
        key=key,
        problem=f"{found}, it takes {allowed}",
        mend=f"`pulumi config set --path {_path(target)} {_example(fields[name])}`",
    )


def _nearest(name: str, known: Mapping[str, FieldInfo]) -> str | None:
    """The known key that a misspelt one stands for, upper and lower case aside."""
    by_lower = {key.lower(): key for key in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[found[0]] if found else None


def _example(field: FieldInfo) -> str:
    return str((field.examples or [""])[0])


def _path(place: list[str]) -> str:
    """A property path as `pulumi config --path` reads it, quoted for a shell where it needs to be."""
    first, *rest = place
    path = first + "".join(f".{part}" if part.isalnum() else f'["{part}"]' for part in rest)
    return shlex.quote(path)
