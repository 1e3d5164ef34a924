"""What a doctor's checks make of what they have read, and the permissions that all of them together need."""

from datetime import timedelta

import pytest

from kube_registry.errors import HERE
from kube_registry.housekeeping.checks import PERMISSIONS, grants, judge_room
from kube_registry.housekeeping.node_checks import age
from kube_registry.housekeeping.volume_listing import Room
from tests.e2e.access import HOUSEKEEPER, granted

GB = 10**9


def test_a_volume_is_full_before_the_last_byte() -> None:
    assert judge_room(Room(used=8 * GB, free=2 * GB), HERE).words == "80% of 10.0 GB are used"
    line = judge_room(Room(used=9 * GB, free=1 * GB), HERE)
    assert line.well is False
    assert "`.venv/bin/python -m registryctl gc --stack dev`" in line.words
    assert "`pulumi config --stack dev set --path claim.size SIZE`, then `pulumi up --stack dev`" in line.words


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=90), "1 h"),
        (timedelta(days=2, hours=5), "2 d"),
    ],
)
def test_an_age_is_told_in_one_unit(of: timedelta, told: str) -> None:
    assert age(of) == told


def test_the_rights_that_are_asked_for_are_those_that_a_housekeeper_is_granted() -> None:
    assert {(each.verb, each.resource) for each in PERMISSIONS} == granted(HOUSEKEEPER)


def test_rights_are_granted_to_who_lacks_them_in_the_namespace_of_the_registry() -> None:
    apply, role, kube_proxy_role, cluster_role = grants("shop", "oidc:me@example.com")
    assert apply == "sed 's/: kube-registry/: shop/' docs/rbac/housekeeper.yaml | kubectl apply --filename -"
    binding = "shop-housekeeper-oidc-me-example-com"
    options = f"{binding} --role=shop-housekeeper --user=oidc:me@example.com --namespace=shop"
    assert role == f"kubectl create rolebinding {options}"
    options = f"{binding} --role=shop-housekeeper --user=oidc:me@example.com --namespace=kube-system"
    assert kube_proxy_role == f"kubectl create rolebinding {options}"
    options = f"{binding} --clusterrole=shop-housekeeper --user=oidc:me@example.com"
    assert cluster_role == f"kubectl create clusterrolebinding {options}"
