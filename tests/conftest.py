pytest_plugins = [
    "tests.support.postgres",
    "tests.support.databases",
    "tests.support.synapse",
    "tests.support.hub",
    "tests.support.federation",
]
