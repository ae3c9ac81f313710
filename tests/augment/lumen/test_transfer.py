"""Values arrive as they were, on the host and on a GPU, where there is one."""

from __future__ import annotations

import pytest
import torch

from augment.lumen.transfer import download, uploaded

NO_GPU = not torch.cuda.is_available()
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(NO_GPU, reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
def test_values_come_back_as_they_went(device: str) -> None:
    values = torch.arange(24).view(4, 6)[:, 1:4]
    there = uploaded(values, torch.device(device))
    assert there.device.type == device
    waiting = [download(there + number, (there + number).sum()) for number in range(3)]
    for number, wait in enumerate(waiting):
        found, total = wait()
        assert torch.equal(found, values + number) and int(total) == int((values + number).sum())
        assert not found.is_pinned()
