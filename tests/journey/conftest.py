"""The same program and stack as the tests in tests/e2e."""

from tests.e2e.conftest import checkout, downstream, one_checkout, program

__all__ = ["checkout", "downstream", "one_checkout", "program"]
