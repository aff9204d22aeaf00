from __future__ import annotations

from typing import Any

import pytest
import torch

from itnet_core import Field, ShapeError
from itnet_core.models.encoder import FieldEncoder


def test_positions_and_weights_stay_as_they_are() -> None:
    encoder = FieldEncoder(8, channels=3)
    field = encoder.example()
    actual = encoder(field)
    assert actual.values.shape == (2, 5, 8)
    torch.testing.assert_close(actual.values, encoder.linear(field.values))
    assert actual.positions is field.positions
    assert actual.weights is field.weights


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 5, 3), "found Tensor"),
        (Field(torch.zeros(2, 5, 2), torch.zeros(2, 5, 4)), "found 2 channels with positions in R\\^4"),
        (Field(torch.zeros(2, 5, 3), torch.zeros(2, 5, 2)), "found 3 channels with positions in R\\^2"),
    ],
)
def test_what_it_does_not_read_is_refused(inputs: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=f"{message}; expected a Field of 3 channels"):
        FieldEncoder(8, channels=3)(inputs)
