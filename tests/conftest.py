"""Which tests may run side by side: those of one file share what they start, and the journeys one cluster."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one worker what belongs together."""
    for item in items:
        group = "e2e" if "e2e" in item.path.parts else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
