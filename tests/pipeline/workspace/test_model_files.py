"""A model that cannot be found is reported before anything is done, in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from augment.backbones.families import FAMILIES, IMAGENET
from augment.backbones.normalisation import normalisation_of
from augment.backbones.unet_blocks import is_diffusion_model
from augment.errors import UserError
from augment.lumen import zoo
from pipeline.checks.hub import require_reachable
from pipeline.checks.model_config import read_model_config
from pipeline.checks.models import require_backbone
from pipeline.config import Config
from pipeline.workflow.run import run
from pipeline.workflow.selection import Selection
from pipeline.workspace.model_files import identity, pinned_identity

ANSWERS = {
    "/api/models/owner/vit": (200, {}, ["config.json", "model.safetensors"]),
    "/api/models/owner/words": (200, {}, ["vocabulary.txt"]),
    "/api/models/owner/gated": (403, {"X-Error-Code": "GatedRepo"}, []),
    "/api/models/owner/ill": (503, {}, []),
}


# What is stored at /MODEL/resolve/main/FILE.
FILES = {
    "/owner/vit/resolve/main/config.json": b'{"model_type": "dinov2", "hidden_size": 384}',
    "/owner/beit/resolve/main/config.json": b'{"model_type": "beit"}',
    "/owner/painter/resolve/main/model_index.json": b"{}",
    "/owner/sat/resolve/main/preprocessor_config.json": b'{"image_mean": [0.4, 0.4, 0.3], "image_std": [0.2, 0.2, 1]}',
    "/owner/torn/resolve/main/config.json": b'{"model_type"',
}


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does, about a few models."""

    def do_HEAD(self) -> None:
        self.file(body=False)

    def file(self, body: bool) -> None:
        content = FILES.get(self.path)
        self.send_response(404 if content is None else 200)
        facts = {"X-Repo-Commit": "0" * 40, "ETag": f'"{len(content or b"")}"', "Content-Length": len(content or b"")}
        for name, value in ({"X-Error-Code": "EntryNotFound"} if content is None else facts).items():
            self.send_header(name, str(value))
        self.end_headers()
        if body and content:
            self.wfile.write(content)

    def do_GET(self) -> None:
        if "/resolve/" in self.path:
            self.file(body=True)
            return
        status, headers, files = ANSWERS.get(self.path, (404, {"X-Error-Code": "RepoNotFound"}, []))
        body = json.dumps({"id": "owner/name", "siblings": [{"rfilename": name} for name in files]}).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """What this process takes for the hub, with an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def require(name: str) -> None:
    require_reachable("backbone.name", name, "config.json", ["own-vit"])


def keep_in_cache(cache: Path, name: str) -> None:
    """Lay `config.json` where a download would."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (folder / "snapshots" / ("0" * 40) / "config.json").write_text("{}")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/nothing", "the hub has no such model"),
        ("owner/words", "has no config.json"),
        ("owner/gated", "accept its terms"),
        ("owner/ill", "the hub answers with an error"),
        ("three/part/name", "no such folder, and no hub id"),
    ],
)
def test_model_that_the_hub_does_not_give_is_refused(name: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        require(name)
    message = str(error.value)
    assert message.startswith(f"backbone.name={name}: ")
    assert expected in message
    assert "\n" not in message


def test_hub_that_is_out_of_reach_is_reported_in_one_quiet_line(
    hub: ThreadingHTTPServer, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UserError, match=r"^backbone.name=owner/vit: not in the local cache, and .* does not answer"):
        require("owner/vit")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("hub")
def test_offline_setting_is_named_where_it_keeps_a_model_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"^backbone.name=owner/vit: not in the local cache, and HF_HUB_OFFLINE"):
        require("owner/vit")
    keep_in_cache(tmp_path / "cache", "owner/cached")
    require("owner/cached")


def test_hub_is_asked_only_for_what_is_not_here(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    require("owner/vit")
    hub.shutdown()
    hub.server_close()
    keep_in_cache(tmp_path / "cache", "owner/cached")
    for name in ("owner/cached", "own-vit", str(tmp_path)):
        require(name)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("key", ["backbone.name", "generator.base", "captions.model"])
def test_run_begins_nothing_that_no_model_can_finish(
    key: str, configure: Callable[..., Config], tmp_path: Path
) -> None:
    config = configure(tmp_path / "space", f"{key}=owner/nothing")
    with pytest.raises(UserError, match=rf"^{key}=owner/nothing: "):
        run(config, Selection(), print)
    assert not (tmp_path / "space").exists()


@pytest.mark.usefixtures("hub")
def test_run_asks_for_no_model_that_its_stages_do_not_load(configure: Callable[..., Config], tmp_path: Path) -> None:
    # One worker renders in this process, which is quicker here.
    config = configure(tmp_path / "space", "backbone.name=owner/nothing", "cluster.stages.shard.workers=1")
    run(config, Selection(until="shard"), print)
    assert (tmp_path / "space" / "real").is_dir()


def test_guard_of_an_adapter_is_no_part_of_what_it_is(tmp_path: Path) -> None:
    """Runs made with the shipped model before it had the guard are made of the same model."""
    assert identity("lumen-tiny") == {
        "name": "lumen-tiny",
        "digest": "e219b058eb2c1b0d2ccfc070e250490aad3ea407cd39ca09cc59036b55fe6195",
    }
    config = json.loads((zoo.ZOO / "lumen-tiny" / "adapter" / "config.json").read_text())
    found = []
    for guard in ({"down_block_types": config["down_block_types"]}, {}):
        kept = {name: value for name, value in config.items() if name != "down_block_types"}
        (tmp_path / "config.json").write_text(json.dumps({**kept, **guard}, indent=2, sort_keys=True) + "\n")
        found.append(identity(str(tmp_path)))
    assert found[0] == found[1]


def read(name: str) -> object:
    return read_model_config("backbone.name", name, "config.json", "give another")


def test_configuration_is_fetched_from_the_hub_once(
    hub: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert require_backbone("owner/vit") == 384
    kept = {path.name for path in (tmp_path / "cache").rglob("*.json")}
    assert kept == {"config.json"}
    hub.shutdown()
    hub.server_close()
    assert require_backbone("owner/vit") == 384
    # Without it the client of the hub would try for half a minute.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"^backbone.name=owner/beit: config.json is not in the local cache"):
        read("owner/beit")


@pytest.mark.usefixtures("hub")
def test_kind_and_normalisation_of_a_model_on_the_hub_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_diffusion_model("owner/painter")
    assert not is_diffusion_model("owner/vit")
    dino = FAMILIES["dinov3_vit"]
    assert normalisation_of(dino, "owner/sat") == ((0.4, 0.4, 0.3), (0.2, 0.2, 1))
    assert normalisation_of(dino, "owner/vit") == IMAGENET
    # What the cache does not know is that of the family where the hub may not be asked.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert normalisation_of(dino, "owner/other") == IMAGENET
    assert normalisation_of(dino, "owner/sat") == ((0.4, 0.4, 0.3), (0.2, 0.2, 1))


@pytest.mark.usefixtures("hub")
def test_configuration_of_the_hub_is_held_to_what_is_supported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UserError, match=r"^backbone.name=owner/beit: it is a model of type 'beit', .*: give a model that"
    ):
        require_backbone("owner/beit")
    with pytest.raises(
        UserError, match=r"^backbone.name=owner/torn: config.json is no valid JSON .*: download it again"
    ):
        read("owner/torn")
    with pytest.raises(UserError, match=r"^backbone.name=owner/none: it has no config.json: give another"):
        read("owner/none")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(UserError, match=r"^cannot write to .*file/hub .*set HF_HOME or HF_HUB_CACHE"):
        read("owner/vit")


@pytest.mark.parametrize("name", ["models/sd15/x", "some model/x", "owner/model"])
def test_a_model_that_is_nowhere_has_a_name_and_no_revision(name: str) -> None:
    assert pinned_identity(name, None) == {"name": name}
