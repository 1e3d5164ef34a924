"""One stack on paper: what is wanted of it and what follows from that. No Pulumi, no network."""
