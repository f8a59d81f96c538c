"""Plain `pytest` works on a bare machine: the tests bring their own PostgreSQL and Valkey."""

pytest_plugins = ["tests.servers", "tests.shares"]
