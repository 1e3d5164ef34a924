"""The rules of kube_registry/rules/ as Pulumi policies, each with an enforcement level that can be changed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from kube_registry.rules.allowed_registries import allowed_names
from kube_registry.rules.resource_inputs import UNKNOWN
from kube_registry.rules.rules import NOT_CHECKED, RULES, Allowed, Rule
from kube_registry.spec.settings import RegistrySettings, described

_SETTINGS = {
    "namespace": "string",
    "nodePort": "integer",
    "registryImage": "string",
    "proxyImage": "string",
    "sharedVolume": "object",
}
"""The settings that the rules use, with their types; their defaults are the program's."""

_REGISTRIES = "allowedRegistries"
"""The other registries and repositories whose images workloads may run, by digest."""


def policies() -> list[Policy]:
    """Return one policy for each rule, mandatory by default."""
    known = described()
    schema: dict[str, dict[str, Any]] = {
        key: {"type": type_, "default": {} if type_ == "object" else known[key].default}
        for key, type_ in _SETTINGS.items()
    }
    schema[_REGISTRIES] = {"type": "array", "items": {"type": "string"}, "default": []}
    return [
        ResourceValidationPolicy(
            name=name,
            description=f"{rule.__doc__} {NOT_CHECKED}",
            validate=partial(_validate, rule),
            enforcement_level=EnforcementLevel.MANDATORY,
            config_schema=PolicyConfigSchema(properties=schema),
        )
        for name, rule in RULES.items()
    ]


def _validate(rule: Rule, args: ResourceValidationArgs, report: ReportViolation) -> None:
    given = args.get_config()
    config = {key: value for key, value in given.items() if key in _SETTINGS}
    settings = RegistrySettings.parse({"kubeContext": "any", **config}, project="kube-registry", stack="any")
    allowed = Allowed.of(settings, registries=allowed_names(given.get(_REGISTRIES, ())))
    for text in rule(args.resource_type, _plain(args.props), allowed):
        report(text, None)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any input of a resource
    """Return inputs without the proxies that raise an error for values that are not known yet."""
    if isinstance(value, Mapping):
        return {key: _plain_at(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain_at(value, index) for index in range(len(value))]
    return value


def _plain_at(held: Any, key: str | int) -> Any:  # noqa: ANN401 - as above
    try:
        return _plain(held[key])
    except UnknownValueError:
        return UNKNOWN
