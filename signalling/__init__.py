"""The pysfu signalling server."""
