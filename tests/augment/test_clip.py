"""Embeddings of images by a CLIP model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from augment.clip import ClipEmbedder
from augment.errors import UserError
from augment.loading import quiet

LAYERS = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP with its image processor."""
    path = tmp_path_factory.mktemp("clip")
    config = CLIPConfig(
        text_config={**LAYERS, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2},
        vision_config={**LAYERS, "image_size": 32, "patch_size": 16},
        projection_dim=24,
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(path)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(path)
    return path


def test_an_embedding_is_of_the_whole_image_and_of_no_other_in_the_batch(folder: Path) -> None:
    embedder = ClipEmbedder(str(folder))
    wide = np.random.default_rng(0).integers(0, 256, (32, 96, 3), np.uint8)
    other = wide.copy()
    # A crop of the centre would leave this out.
    other[:, :16] = 255
    one, changed = embedder.embed([wide, other])
    assert one.shape == (24,) and one.dtype == np.float32
    np.testing.assert_allclose(embedder.embed([wide])[0], one, atol=1e-5)
    assert np.abs(one - changed).max() > 1e-3


def test_another_model_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluate\.clip_model=.*cannot load it"):
        ClipEmbedder(str(tmp_path))
