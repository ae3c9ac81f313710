"""Licences of models are known by their usual names, and a forbidden use is refused before any work."""

from __future__ import annotations

import pytest

from augment.errors import UserError
from augment.model_licences import LicenceOptions, licence_of, require_licences

KNOWN = {
    "lllyasviel/control_v11p_sd15_seg": "CreativeML Open RAIL-M",
    "depth-anything/Depth-Anything-V2-Small-hf": "Apache-2.0",
    "depth-anything/Depth-Anything-V2-Large-hf": "CC BY-NC 4.0",
    "lumen-tiny": "Apache-2.0",
    "dinov2-vits14": "Apache-2.0",
    "facebook/dinov2-with-registers-base": "Apache-2.0",
    "facebook/dinov3-vitb16-pretrain-lvd1689m": "DINOv3 License",
    "facebook/sam2.1-hiera-tiny": "Apache-2.0",
    "facebook/sam-vit-base": "Apache-2.0",
    "google/tipsv2-b14": "Apache-2.0",
    "openai/clip-vit-base-patch16": "MIT",
    "nvidia/C-RADIOv4-H": "NVIDIA Open Model License",
    "nvidia/RADIO-L": "NVIDIA NSCLv1",
    "nvidia/E-RADIO": "NVIDIA NSCLv1",
    "facebook/vit-mae-base": "CC BY-NC 4.0",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML Open RAIL-M",
    "/models/stable-diffusion-v1-5/": "CreativeML Open RAIL-M",
    "CompVis/stable-diffusion-v1-4": "CreativeML Open RAIL-M",
    "stabilityai/stable-diffusion-2-1": "CreativeML Open RAIL++-M",
    "stabilityai/stable-diffusion-xl-base-1.0": "CreativeML Open RAIL++-M",
    "stabilityai/sd-turbo": "Stability AI Community License",
    "stabilityai/sdxl-turbo": "Stability AI Community License",
    "stabilityai/stable-diffusion-3.5-medium": "Stability AI Community License",
    "/weights/mit_b0_20220624-7e0fe6dd.pth": "NVIDIA Source Code License for SegFormer",
    "nvidia/mit-b5": "NVIDIA Source Code License for SegFormer",
    "nvidia/segformer-b0-finetuned-ade-512-512": "NVIDIA Source Code License for SegFormer",
    "acme/summit-b1": None,
    "acme/features": None,
    "acme/radiology-net": None,
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_model_has_the_licence_of_its_family(name: str) -> None:
    found = licence_of(name)
    assert (found and found.licence) == KNOWN[name]


def test_commercial_use_of_a_non_commercial_model_is_refused_unless_accepted() -> None:
    models = [("generator.base", "lumen-tiny"), ("backbone.name", "facebook/vit-mae-base")]
    require_licences(models, LicenceOptions())
    with pytest.raises(
        UserError, match=r"backbone\.name=facebook/vit-mae-base is licensed for non-commercial use alone"
    ):
        require_licences(models, LicenceOptions(commercial=True))
    require_licences(models, LicenceOptions(commercial=True, accepted=("facebook/vit-mae-base",)))
    require_licences([("generator.base", "acme/unknown")], LicenceOptions(commercial=True))
