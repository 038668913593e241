"""What the tests of tensor algebra share: both precisions, the oracle tensors, and other people's data where it is
present.
"""

from pathlib import Path

import jax.numpy as jnp
import pytest

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return jnp.dtype(request.param)


@pytest.fixture
def eps(dtype):
    """Rounding of the precision under test: tolerances are multiples of it."""
    return float(jnp.finfo(dtype).eps)


@pytest.fixture
def external():
    """Opens a file of the external test data by name, or skips."""

    def locate(name: str) -> Path:
        path = EXTERNAL / name
        if not path.exists():
            pytest.skip(f"external data {name} is not next to the repository ({EXTERNAL})")
        return path

    return locate
