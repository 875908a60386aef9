"""Small programs that use pysfu. Each of them is run by `tests/integration/test_examples.py`."""
