"""Networks with faults, made of network namespaces, and real participants in them. Start with `network.py`."""
