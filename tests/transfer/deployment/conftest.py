"""The tiny run of all stages, which the stages' own tests make too."""

from tests.stages.conftest import arena  # noqa: F401  a fixture
