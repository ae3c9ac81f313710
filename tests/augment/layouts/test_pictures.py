"""Pictures of layouts."""

from __future__ import annotations

import numpy as np
import pytest

from augment.layouts.pictures import layout_picture


@pytest.mark.parametrize("k", [1, 3, 5])
def test_picture_has_the_requested_size(k: int) -> None:
    picture = layout_picture(np.zeros((k, 3, 4), np.float16), 24, 32)
    assert picture.shape == (24, 32, 3)
    assert (picture == 128).all()
