import re
from collections.abc import Iterator

import pytest

from kube_registry import errors
from kube_registry.errors import KubeRegistryError
from kube_registry.generate import ERRORS, GENERATED, ROOT, with_example
from kube_registry.spec.settings import described

PASSED_ON = (
    *("ExecError", "PreflightReportedError", "PreviewError", "RefusedError", "RegistryError"),
    *("StackError", "TunnelProtocolError"),
)
"""Errors that only pass on what a server, a program or another error has said."""


class TestGenerated:
    @pytest.mark.parametrize("name", GENERATED)
    def test_a_generated_part_is_up_to_date(self, name: str) -> None:
        current = (ROOT / name).read_text()
        assert GENERATED[name](current) == current, "run `make schema`"

    def test_pulumi_yaml_and_the_page_have_every_setting(self) -> None:
        for name in ("Pulumi.yaml", "docs/settings.md"):
            assert all(key in (ROOT / name).read_text() for key in described())


def drawn() -> dict[str, str]:
    """Each error of the tree in the docstring of kube_registry/errors.py -> the one that it hangs on."""
    line, above, found = re.compile(r"    ([│ ]*)[├└]── (\w+) "), ["KubeRegistryError"], dict[str, str]()
    for place, name in line.findall(str(errors.__doc__)):
        above[len(place) // 4 + 1 :] = [name]
        found[name] = above[-2]
    return found


def below(kind: type[KubeRegistryError]) -> Iterator[type[KubeRegistryError]]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


class TestErrors:
    def test_no_file_of_errors_is_left_out(self) -> None:
        files = [*ROOT.glob("kube_registry/**/errors.py"), ROOT / "components" / "errors.py"]
        assert {module for modules in ERRORS.values() for module in modules} == {
            ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files
        }

    def test_the_tree_is_that_of_the_classes(self) -> None:
        assert drawn() == {kind.__name__: kind.__bases__[0].__name__ for kind in below(KubeRegistryError)}

    def test_the_page_has_a_heading_of_one_line_for_each(self) -> None:
        page = (ROOT / "docs" / "troubleshooting.md").read_text()
        headings = re.findall(r"^\*\*.*", page, re.MULTILINE)
        assert "Args:" not in page
        assert len(headings) == len(list(with_example()))
        assert all(re.fullmatch(r"\*\*[^*]+\.\*\*", heading) for heading in headings)

    @pytest.mark.parametrize("kind", list(with_example()))
    def test_each_is_one_sentence_with_all_its_fields_and_what_mends_it(self, kind: type[KubeRegistryError]) -> None:
        sentence, *table = str(kind(**kind.example)).splitlines()
        assert not table or kind.__name__ in {"PreflightError", "MountError"}
        assert "{" not in sentence
        assert ". Fix: " in sentence or kind.__name__ in PASSED_ON
