"""The entry point of the policy pack: `pulumi preview --policy-pack policy`."""

import sys
from pathlib import Path

from pulumi_policy import PolicyPack

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # Pulumi runs this file in its own folder

from policy.pack import policies

PolicyPack(name="kube-registry", policies=policies())
