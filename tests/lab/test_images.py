import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from lab import images
from lab.images import Image


def built(folder: Path, *wanted: Image) -> bytes:
    folder.mkdir()
    images._build(wanted, folder, folder, folder / "log")
    return (folder / "images.tar").read_bytes()


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    image = Image("docker.io/library/thing:1", {"bin/thing": program}, links={"bin/other": "thing"}, command=("thing",))
    first = built(tmp_path / "a", image)
    os.utime(program, (1, 1))
    program.chmod(0o600)
    assert built(tmp_path / "b", image) == first


def test_an_archive_names_its_images_and_their_layers_match_what_they_say(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    image = Image("docker.io/library/thing:1", {"bin/thing": program}, entrypoint=("/bin/thing",), command=("serve",))
    with tarfile.open(fileobj=io.BytesIO(built(tmp_path / "a", image))) as archive:
        read = {entry.name: archive.extractfile(entry) for entry in archive}
        contents = {name: file.read() for name, file in read.items() if file}
    (manifest,) = json.loads(contents["manifest.json"])
    config = json.loads(contents[manifest["Config"]])
    (layer,) = manifest["Layers"]
    assert manifest["RepoTags"] == ["docker.io/library/thing:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(contents[layer]).hexdigest()}"]
    assert (config["config"]["Entrypoint"], config["config"]["Cmd"]) == (["/bin/thing"], ["serve"])
    with tarfile.open(fileobj=io.BytesIO(contents[layer])) as files:
        assert {entry.name: oct(entry.mode) for entry in files} == {
            "bin": "0o755",
            "tmp": "0o1777",
            "bin/thing": "0o755",
        }
