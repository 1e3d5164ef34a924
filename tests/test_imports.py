"""Large imports: they do not search for garbage, and leave the collector as it was."""

import gc
import sys
from pathlib import Path

import pytest

from kube_registry.imports import import_large

MODULE = "made_for_a_test"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    return tmp_path / f"{MODULE}.py"


@pytest.mark.parametrize("collecting", [True, False])
@pytest.mark.parametrize("code", ["import gc\ncollecting = gc.isenabled()\n", "1 / 0\n"])
def test_the_collector_is_off_during_an_import_and_afterwards_as_before(
    module: Path, code: str, *, collecting: bool
) -> None:
    module.write_text(code)
    frozen = gc.get_freeze_count()
    if not collecting:
        gc.disable()
    try:
        if "1 / 0" in code:
            with pytest.raises(ZeroDivisionError):
                import_large(MODULE)
        else:
            assert import_large(MODULE).collecting is False
        assert gc.isenabled() is collecting
        assert gc.get_freeze_count() > frozen
    finally:
        gc.enable()
        gc.unfreeze()
