import pytest

from stack.errors import KubeRegistryError
from stack.schema import GENERATED, ROOT, _with_example
from stack.settings import described


class TestGenerated:
    @pytest.mark.parametrize("name", GENERATED)
    def test_a_generated_part_is_up_to_date(self, name: str) -> None:
        current = (ROOT / name).read_text()
        assert GENERATED[name](current) == current, "run `make schema`"

    def test_pulumi_yaml_and_the_readme_know_every_setting(self) -> None:
        for name in ("Pulumi.yaml", "README.md"):
            assert all(key in (ROOT / name).read_text() for key in described())


class TestErrors:
    @pytest.mark.parametrize("kind", list(_with_example()))
    def test_each_is_one_sentence_with_all_its_fields_and_what_mends_it(self, kind: type[KubeRegistryError]) -> None:
        sentence, *table = str(kind(**kind.example)).splitlines()
        assert not table or kind.__name__ == "PreflightError"
        assert "{" not in sentence
        assert (
            "; " in sentence or "run `pulumi up` again" in sentence or kind.__name__ in ("RefusedError", "TunnelError")
        )
