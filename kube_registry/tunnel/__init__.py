"""The tunnel: a listener on this machine's loopback whose connections end at a door of the registry."""
