import subprocess
from pathlib import Path

from lab import sizes

TEXT = '''
class Thing:
    def __init__(self):
        """What it is.

        And why.
        """
        self.a = 1


async def longer(
    one,
    two,
):
    return one
'''


def test_a_function_is_as_long_as_it_is_without_its_docstring() -> None:
    found = {place: lines for place, lines, most in sizes.sizes_of("a.py", TEXT) if most == sizes.FUNCTION}
    assert found == {"a.py: __init__": 2, "a.py: longer": 5}


def test_a_file_is_as_long_as_it_is() -> None:
    assert ("a.py", 15, sizes.FILE) in sizes.sizes_of("a.py", TEXT)


def test_a_file_counts_before_git_tracks_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    policy = tmp_path / "policy"
    policy.mkdir()
    for lines in (sizes.FILE, sizes.FILE + 1):
        (policy / f"{lines}.py").write_text("a = 1\n" * lines)
    assert sizes.too_long(tmp_path) == ["policy/251.py: 251 lines are too many"]
