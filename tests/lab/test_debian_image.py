"""The stand-in for Debian's image, as far as it can be checked without building it."""

from pathlib import Path

from lab import debian_image

DOCKERFILE = Path(__file__).parents[2] / "components" / "nfs_server" / "Dockerfile"


def test_it_has_the_name_and_all_packages_of_the_dockerfile() -> None:
    text = DOCKERFILE.read_text()
    assert f"FROM {debian_image.NAME}\n" in text
    (install,) = (line for line in text.splitlines() if "apt-get install" in line)
    packages = install.partition("--no-install-recommends ")[2].rstrip(" \\").split()
    assert packages == list(debian_image.PACKAGES)
