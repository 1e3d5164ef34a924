"""cosign, with which a test signs an image and verifies it from a pod."""

from lab.gobuild import GoProgram
from lab.part import Part, Program

COSIGN = Part(
    name="cosign",
    version="3.1.3",
    purpose="the verifier that a test runs in a pod",
    programs=(Program("cosign"),),
    builds=(GoProgram(name="cosign", module="cosign", package="github.com/sigstore/cosign/v3/cmd/cosign"),),
    disk=2 * 10**9,
    from_path=False,  # it is copied into an image FROM scratch, where only a static program starts
)
