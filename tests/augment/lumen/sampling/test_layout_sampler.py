"""An image depends on its own request and on nothing else."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from augment.errors import NotFinite, UserError
from augment.lumen.adapter import LayoutControlNet, load_adapter
from augment.lumen.bases.base import DiffusionModel
from augment.lumen.bases.loading import load_diffusion_model
from augment.lumen.grids import to_pixels
from augment.lumen.sampling import decoding
from augment.lumen.sampling.layout_sampler import LayoutSampler
from augment.lumen.sampling.options import SamplerOptions
from augment.lumen.sampling.request import Request
from augment.lumen.sampling.tiling import Tiles, tiled
from tests.pipeline.small_models import save_small_base

K = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[DiffusionModel, LayoutControlNet]:
    folder: Path = save_small_base(tmp_path_factory.mktemp("base"), K)
    return load_diffusion_model(str(folder)), LayoutControlNet.from_pretrained(folder / "adapter")


def sampler(models: tuple[DiffusionModel, LayoutControlNet], guidance_scale: float = 2.0) -> LayoutSampler:
    return LayoutSampler(*models, SamplerOptions(num_steps=3, guidance_scale=guidance_scale, precision="fp32"))


def request(seed: int = 0, k: int = K, prompt: str = "a photo of a street, day", content: int = 0) -> Request:
    # Large enough that the untrained net's deepest normalisations, of one channel each, see more than a pair of values.
    layout = np.random.default_rng(content).normal(size=(K, 8, 12)).astype(np.float16)
    return Request(layout, k, prompt, seed)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_image_does_not_depend_on_its_batch_mates(models: tuple[DiffusionModel, LayoutControlNet]) -> None:
    mates = [request(seed=seed, k=seed % (K + 1), content=seed) for seed in range(4)]
    together = sampler(models).generate(mates)
    alone = [sampler(models).generate([mate])[0] for mate in mates]
    for one, other in zip(together, alone, strict=True):
        # Sums inside a batched product may be ordered differently: one level of 255 at most.
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1
    assert together[0].shape == (64, 96, 3)


@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
def test_same_request_gives_the_same_bytes(
    models: tuple[DiffusionModel, LayoutControlNet], guidance_scale: float
) -> None:
    one, other = (sampler(models, guidance_scale).generate([request()])[0] for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "other",
    [
        request(seed=1),
        request(seed=1 << 40),
        request(k=1),
        request(content=1),
        request(prompt="a rendered street, night, rain"),
    ],
)
def test_seed_k_layout_and_prompt_all_count(models: tuple[DiffusionModel, LayoutControlNet], other: Request) -> None:
    first, second = sampler(models).generate([request(), other])
    assert difference(first, second) > 0


def test_k_beyond_the_adapter_is_refused(models: tuple[DiffusionModel, LayoutControlNet]) -> None:
    with pytest.raises(UserError, match=r"k = 5: the adapter and its layouts hold 0\.\.4"):
        sampler(models).generate([request(k=5)])


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (np.full((8, 12), 5), r"k = 5: the adapter and its layouts hold 0\.\.4"),
        (np.full((8, 12), -1), r"k = -1: the adapter"),
        (np.full((8, 11), 1), r"k has \(8, 11\) cells and the layout \(8, 12\)"),
    ],
)
def test_ks_by_cell_must_fit_the_layout(
    models: tuple[DiffusionModel, LayoutControlNet], k: np.ndarray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sampler(models).generate([replace(request(), k=k)])


def test_image_with_ks_by_cell_does_not_depend_on_its_batch_mates(
    models: tuple[DiffusionModel, LayoutControlNet],
) -> None:
    mixed = np.where(np.arange(12) < 6, 1, K) * np.ones((8, 1), int)
    mates = [request(seed=1, k=3), replace(request(seed=2), k=mixed), replace(request(seed=1), k=np.full((8, 12), 3))]
    constant, by_cell, uniform = sampler(models).generate(mates)
    assert difference(constant, sampler(models).generate(mates[:1])[0]) <= 1
    assert difference(constant, uniform) <= 1
    assert difference(by_cell, sampler(models).generate(mates[1:2])[0]) <= 1
    for k in (1, K):
        assert difference(by_cell, sampler(models).generate([request(seed=2, k=k)])[0]) > 0


def test_encode_and_decode_keep_the_size(models: tuple[DiffusionModel, LayoutControlNet]) -> None:
    base, _ = models
    images = np.zeros((2, 32, 48, 3), np.uint8)
    latents = base.encode(images)
    assert latents.shape == (2, 4, 4, 6)
    assert base.decode(latents).shape == images.shape


@pytest.mark.parametrize(("part", "what"), [("unet", "the latents"), ("vae", "the images")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_an_image(tmp_path: Path, part: str, what: str, value: float) -> None:
    folder = save_small_base(tmp_path / "base", K)
    base = load_diffusion_model(str(folder))
    last = base.network.conv_out if part == "unet" else base.vae.decoder.conv_out
    last.bias.data.fill_(value)
    options = SamplerOptions(num_steps=2, precision="fp32")
    broken = LayoutSampler(base, LayoutControlNet.from_pretrained(folder / "adapter"), options)
    with pytest.raises(NotFinite, match=f"{what} hold .* NaN or infinite values"):
        broken.generate([request()])


def test_pixels_must_be_finite() -> None:
    pixels = torch.zeros(1, 3, 2, 2)
    assert (to_pixels(pixels) == 128).all()
    pixels[0, 0, 0, 0] = float("nan")
    with pytest.raises(NotFinite, match="the images hold 1 NaN or infinite values of 12"):
        to_pixels(pixels)


def tiled_sampler(models: tuple[DiffusionModel, LayoutControlNet], tile: int, overlap: int = 32) -> LayoutSampler:
    options = SamplerOptions(num_steps=3, precision="fp32", tile=tile, tile_overlap=overlap)
    return LayoutSampler(*models, options)


def test_one_tile_is_no_tile(models: tuple[DiffusionModel, LayoutControlNet]) -> None:
    (whole,) = sampler(models).generate([request()])
    (tiled,) = tiled_sampler(models, 96).generate([request()])
    assert np.array_equal(whole, tiled)


def test_image_in_tiles_does_not_depend_on_its_batch_mates(models: tuple[DiffusionModel, LayoutControlNet]) -> None:
    mixed = np.where(np.arange(12) < 6, 1, K) * np.ones((8, 1), int)
    plain = [request(seed=1), request(seed=3, k=2, content=2, prompt="a rendered street, night, rain")]
    mates = [*plain, replace(request(seed=2, content=1), k=mixed)]
    together = [*tiled_sampler(models, 64).generate(plain), *tiled_sampler(models, 64).generate(mates)]
    for one, mate in zip(together, [*plain, *mates], strict=True):
        assert one.shape == (64, 96, 3)
        (alone,) = tiled_sampler(models, 64).generate([mate])
        assert np.abs(one.astype(int) - alone.astype(int)).max() <= 1
        (whole,) = sampler(models).generate([mate])
        assert difference(one, whole) > 0


@torch.inference_mode()
def test_a_tile_is_predicted_as_an_image_of_its_own(models: tuple[DiffusionModel, LayoutControlNet]) -> None:
    wide = replace(request(), k=np.arange(96).reshape(8, 12) % (K + 1), strength=np.linspace(0, 2, 96).reshape(8, 12))
    latents, timestep = torch.randn(1, 4, 8, 12), torch.tensor(500)
    whole = sampler(models)._denoiser([wide])
    found = tiled(whole, Tiles.over(8, 12, 8, 4), 1)(latents, timestep)
    # Tiles of 8 cells begin at 0 and 4: the first and the last four columns belong to one of them alone.
    for cells, alone in ((slice(0, 8), slice(0, 4)), (slice(4, 12), slice(8, 12))):
        maps = {"k": np.asarray(wide.k)[:, cells], "strength": np.asarray(wide.strength)[:, cells]}
        part = replace(wide, layout=wide.layout[..., cells], **maps)
        expected = torch.full_like(latents, torch.nan)
        expected[..., cells] = sampler(models)._denoiser([part])(latents[..., cells], timestep)
        torch.testing.assert_close(found[..., alone], expected[..., alone])


def test_decoding_takes_few_pixels_at_once(
    models: tuple[DiffusionModel, LayoutControlNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = models
    latents = torch.randn(6, 4, 4, 6)
    expected = base.decode(latents)
    sizes = []
    decode = base.vae.decode
    monkeypatch.setattr(base.vae, "decode", lambda part: sizes.append(len(part)) or decode(part))
    found = decoding.decoded(base, latents)()
    assert sizes == [1] * 6
    assert np.abs(np.stack(found).astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(("count", "most", "size"), [(6, 4, 3), (6, 8, 6), (7, 6, 1), (8, 5, 4)])
def test_parts_of_a_batch_are_of_one_size(count: int, most: int, size: int) -> None:
    assert decoding.part_size(count, most) == size


def test_batches_that_have_begun_give_their_own_images_and_errors(
    models: tuple[DiffusionModel, LayoutControlNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = sampler(models)
    expected = [painter.generate([request(seed=seed)])[0] for seed in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(painter.base, "decode_pixels", lambda latents: latents[:, :3] * float("nan"))
        broken = painter.begin([request(seed=2)])
    waiting = [painter.begin([request(seed=seed)]) for seed in range(2)]
    for wait, image in zip(waiting, expected, strict=True):
        assert np.array_equal(wait()[0], image)
    with pytest.raises(NotFinite, match="the images hold 288 NaN or infinite values of 288"):
        broken()


@pytest.mark.parametrize(
    "options",
    [{}, {"fixed_batch": 1}, {"text_guidance_scale": 3}, {"reuse_adapter": 2, "reuse_blocks": 2}, {"scheduler": "lcm"}],
)
def test_beginning_reads_nothing_from_the_device(
    small_base: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    # There is no autocast for this device.
    monkeypatch.setattr(LayoutSampler, "_casting", lambda _: nullcontext())
    # There are no values on this device, so that reading one raises, where a GPU would make the host wait.
    base, adapter = load_diffusion_model(str(small_base), "meta"), load_adapter(small_base / "adapter", "meta")
    painter = LayoutSampler(base, adapter, SamplerOptions.model_validate({"num_steps": 4, **options}))
    by_cell = replace(request(seed=1), k=np.full((8, 12), 2), strength=np.full((8, 12), 0.5))
    painter.begin([request(), by_cell])
    with pytest.raises(RuntimeError, match="meta tensors"):
        painter.begin([request()])()


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_a_request_may_have_a_guidance_scale_of_its_own(
    models: tuple[DiffusionModel, LayoutControlNet], scale: float
) -> None:
    [asked] = sampler(models, 2.0).generate([replace(request(), guidance_scale=scale)])
    [expected] = sampler(models, scale).generate([request()])
    np.testing.assert_array_equal(asked, expected)
    assert difference(asked, sampler(models, 2.0).generate([request()])[0]) > 0
    with pytest.raises(UserError, match="of one batch"):
        sampler(models).generate([replace(request(), guidance_scale=scale), request()])
