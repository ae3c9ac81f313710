"""A caption is of its image, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, BertModel

from augment.captioning import Captioner
from augment.errors import UserError
from tests.pipeline.small_models import CAPTION_WORDS, save_small_captioner

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 40, 64, 3), dtype=np.uint8)
IMAGES[:3] //= 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_small_captioner(tmp_path_factory.mktemp("captioner")))


@pytest.mark.parametrize("prompt", ["", "a photo of"])
def test_caption_depends_on_the_image_and_not_on_its_batch(model: str, prompt: str) -> None:
    captioner = Captioner(model, max_new_tokens=8, prompt=prompt)
    together = captioner.describe(IMAGES)
    assert [captioner.describe(image[None])[0] for image in IMAGES] == together
    assert Captioner(model, max_new_tokens=8, prompt=prompt).describe(IMAGES) == together
    assert len(set(together)) > 1
    assert all(caption.startswith(prompt) for caption in together)
    assert all(set(caption.split()) <= set(CAPTION_WORDS) for caption in together)


def test_caption_is_no_longer_than_requested(model: str) -> None:
    assert max(len(caption.split()) for caption in Captioner(model, max_new_tokens=3).describe(IMAGES)) <= 3


def test_other_models_are_refused_in_one_line(tmp_path: Path) -> None:
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=9, **small)).save_pretrained(tmp_path / "text")
    (tmp_path / "empty").mkdir()
    for folder in ("text", "empty"):
        with pytest.raises(UserError, match=rf"captions\.model: .*{folder}.* image-to-text model") as error:
            Captioner(str(tmp_path / folder))
        assert "\n" not in str(error.value)
