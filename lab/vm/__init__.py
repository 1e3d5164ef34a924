"""Nodes that are small VMs: their kernel has what that of this computer may lack, such as an NFS client and IPVS."""

from lab.vm.node import VmNode, join, leave

__all__ = ["VmNode", "join", "leave"]
