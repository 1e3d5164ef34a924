"""crane, with which a test copies images from one registry to another, as docs/bucket.md describes."""

from lab.gobuild import GoProgram
from lab.part import Part, Program

CRANE = Part(
    name="crane",
    version="0.22.1",
    purpose="the client with which a test copies images",
    programs=(Program("crane"),),
    builds=(GoProgram(name="crane", module="crane", package="github.com/google/go-containerregistry/cmd/crane"),),
    disk=10**9,
)
