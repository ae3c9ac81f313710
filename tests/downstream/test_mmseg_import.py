"""mmsegmentation imports without mmcv's compiled operators, and no placeholder is left behind."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

PROBE = """
import importlib.util, sys, warnings
warnings.simplefilter("ignore")
had = importlib.util.find_spec("mmcv._ext") is not None
# The first import of a hand-written config.
import downstream.store_seg_dataset
from downstream.mmseg_import import import_mmseg
import_mmseg()
import mmcv, mmseg.models
assert mmseg.models.MixVisionTransformer is not None
if not had:
    assert "mmcv._ext" not in sys.modules
    assert not hasattr(mmcv, "_ext")
    assert importlib.util.find_spec("mmcv._ext") is None
    from mmcv.utils.ext_loader import check_ops_exist
    assert not check_ops_exist()
    import torch
    from mmcv.ops import nms
    try:
        nms(torch.rand(3, 4), torch.rand(3), 0.5)
    except RuntimeError as error:
        print(error)
else:
    print("compiled operator 'nms' mmcv-lite")
"""


def test_import_leaves_no_placeholder_and_missing_operators_say_so() -> None:
    # In a process of its own: here mmseg may be imported already.
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "compiled operator 'nms'" in done.stdout
    assert "mmcv-lite" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("mmcv._ext") is not None, reason="mmcv has its operators")
def test_a_real_module_is_used_where_there_is_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The name is taken from the import system, so a module that exists is never replaced."""
    code = (
        "import sys, types, warnings; warnings.simplefilter('ignore')\n"
        "import mmcv\n"
        "class Real(types.ModuleType):\n"
        "    def __getattr__(self, name):\n"
        "        if name.startswith('__'): raise AttributeError(name)\n"
        "        return lambda *a, **k: 'real'\n"
        "sys.modules['mmcv._ext'] = Real('mmcv._ext')\n"
        "from downstream.mmseg_import import import_mmseg\n"
        "import_mmseg()\n"
        "print(type(sys.modules['mmcv._ext']).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path_factory.mktemp("empty"),
    )
    assert done.stdout.strip() == "Real", done.stderr
