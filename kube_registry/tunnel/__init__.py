"""The tunnel: a listener on this machine's loopback that forwards connections to a port of the registry's pod."""
