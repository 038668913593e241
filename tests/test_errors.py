"""Numbers of options become Python's own, and anything else is refused by name."""

import numpy as np
import pytest

from efg_jax.errors import InputError, as_float


def test_numbers_become_floats():
    for value in (2, 2.0, np.float32(2), np.int64(2)):
        assert type(as_float("cutoff", value)) is float


@pytest.mark.parametrize("value", ["5", None, True, [1.0]])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InputError, match="cutoff must be a number, got"):
        as_float("cutoff", value)
