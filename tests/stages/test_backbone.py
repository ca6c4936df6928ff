"""backbone: weights reach the file unchanged, a folder address works, wrong digests and architectures are refused."""

import copy
import functools
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from stages import backbone, fine_tune, train_head
from tests.stages.conftest import Arena
from transfer.network.backbones import load_backbone
from transfer.runtime.errors import ParameterError, WeightsError
from transfer.runtime.files import sha256_of
from transfer.runtime.parameters import check_parameters

TEMPLATE = "http://127.0.0.1:{}/{{repo_id}}/resolve/{{revision}}/{{filename}}"


def settings(arena: Arena, **changes: object) -> dict:
    return {**arena.parameters, "backbone": {**arena.parameters["backbone"], **changes}}


def test_weights_arrive_unchanged_with_their_preprocessing(arena):
    saved = load_backbone(arena.file("models/backbone.safetensors"))
    original = torch.load(arena.weights, weights_only=True)
    del original["fc.weight"], original["fc.bias"]
    assert set(saved.state) == set(original)
    different = [name for name in original if not torch.equal(saved.state[name], original[name])]
    assert different == []
    assert saved.preprocessing.mean == (0.485, 0.456, 0.406)
    assert json.loads(arena.file("metrics/backbone.json").read_text()) == {
        "name": "resnet18",
        "weights": "IMAGENET1K_V1",
        "published": False,
        "sha256": sha256_of(arena.weights),
        "parameters": sum(tensor.numel() for tensor in original.values()),
        "made_for": {"size_px": 224, "interpolation": "bilinear", "crop": 0.875},
    }


@pytest.mark.parametrize("ending", ["/", ""])
@pytest.mark.parametrize("name", ["resnet18.pth", "resnet18.safetensors"])
def test_an_address_may_be_a_folder(arena, tmp_path, name: str, ending: str):
    original = torch.load(arena.weights, weights_only=True)
    save_file(original, tmp_path / name) if name.endswith("safetensors") else torch.save(original, tmp_path / name)
    arena.run(backbone, settings(arena, url=f"{tmp_path}{ending}"), weights="again.safetensors", metrics="again.json")
    assert arena.file("again.safetensors").read_bytes() == arena.file("models/backbone.safetensors").read_bytes()


def test_a_size_that_the_network_cannot_take_is_refused_before_anything_is_fetched(arena):
    changes = {**settings(arena, name="alexnet", url="nowhere.pth"), "resize": {"size_px": 32, "interpolation": "area"}}
    complaint = r"resize\.size_px = 32: alexnet takes no images of that size; set 63$"
    with pytest.raises(WeightsError, match=complaint):
        arena.run(backbone, changes, weights="none.safetensors", metrics="none.json")


def test_small_images_that_the_network_cannot_take_are_refused_too(arena):
    changes = settings(arena, name="vit_b_32", url="nowhere.pth")
    changes["resize"] = {"size_px": 64, "interpolation": "area"}
    changes["train"] = {"batch_size": 2, "fine_tune": {"small_images": {"size_px": 32}}}
    complaint = (
        r"train\.fine_tune\.small_images\.size_px = 32: vit_b_32 for images of 64 pixels takes none.*; set null$"
    )
    with pytest.raises(WeightsError, match=complaint):
        arena.run(backbone, changes, weights="none.safetensors", metrics="none.json")


@pytest.mark.parametrize(
    ("name", "size_px", "complaint"),
    [
        (
            "timm/gmlp_s16_224",
            224,
            r"backbone\.name = timm/gmlp_s16_224\.ra3_in1k: it leaves no feature map .*; choose",
        ),
        ("vit_b_32", 32, r"resize\.size_px = 32: vit_b_32 leaves no feature map for heat maps; set 64$"),
    ],
)
def test_a_network_whose_heat_maps_would_fail_is_refused_too(arena, name: str, size_px: int, complaint: str):
    changes = {**settings(arena, name=name, url="nowhere.pth"), "resize": {"size_px": size_px, "interpolation": "area"}}
    with pytest.raises(WeightsError, match=complaint):
        arena.run(backbone, changes, weights="none.safetensors", metrics="none.json")


def test_what_the_weights_were_made_for_is_said_because_resize_decides(arena, capsys):
    arena.run(backbone, settings(arena), weights="told.safetensors", metrics="told.json")
    assert "resnet18: weights made for 224 px, bilinear, the middle 87.5 % of an image; here resize.* decides" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(("stage", "group"), [(backbone, None), (train_head, "head"), (fine_tune, None)])
def test_batches_of_one_which_batch_norm_cannot_learn_from_are_refused_in_one_line(arena, stage, group: str | None):
    changed = copy.deepcopy(arena.parameters)
    (changed["train"][group] if group else changed["train"])["batch_size"] = 1
    with pytest.raises(ParameterError, match=r"^train\.(head\.)?batch_size.* 1.*greater than or equal to 2") as caught:
        check_parameters(stage.Parameters, changed)
    assert "\n" not in str(caught.value)


def test_networks_of_timm_come_by_name_with_their_own_preprocessing(arena, tmp_path):
    name = "timm/vit_tiny_patch16_224.augreg_in21k"
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224.augreg_in21k", pretrained=False)
    save_file(model.state_dict(), tmp_path / "vit_tiny_patch16_224.augreg_in21k.safetensors")
    changes = settings(arena, name="timm/vit_tiny_patch16_224", weights="augreg_in21k", url=str(tmp_path))
    changes["resize"] = {"size_px": 64, "interpolation": "area"}
    arena.run(backbone, changes, weights="vit.safetensors", metrics="vit.json")
    saved = load_backbone(arena.file("vit.safetensors"))
    assert (saved.architecture, saved.size_px) == (name, 64)
    assert saved.preprocessing.mean == saved.preprocessing.std == (0.5, 0.5, 0.5)
    assert saved.state["pos_embed"].shape == (1, 1 + 4 * 4, 192)
    assert torch.equal(saved.state["norm.weight"], model.state_dict()["norm.weight"])
    metrics = json.loads(arena.file("vit.json").read_text())
    assert (metrics["name"], metrics["weights"], metrics["published"]) == (name, "augreg_in21k", False)
    assert metrics["made_for"] == {"size_px": 224, "interpolation": "bicubic", "crop": 0.9}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror of the Hugging Face hub on this machine, as HF_ENDPOINT names it; its folder."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(server.server_port))
    yield tmp_path
    server.shutdown()


@pytest.mark.parametrize("url", [None, "hf://timm/resnet10t.c3_in1k/model.safetensors"])
def test_weights_come_from_the_hub_or_its_mirror(arena, mirror, url: str | None):
    folder = mirror / "timm/resnet10t.c3_in1k/resolve/main"
    folder.mkdir(parents=True)
    save_file(timm.create_model("resnet10t", pretrained=False).state_dict(), folder / "model.safetensors")
    changes = settings(arena, name="timm/resnet10t", url=url)
    arena.run(backbone, changes, weights=f"hub{url}.safetensors".replace("/", "_"), metrics="hub.json")
    metrics = json.loads(arena.file("hub.json").read_text())
    assert metrics["sha256"] == sha256_of(folder / "model.safetensors")
    assert (metrics["name"], metrics["published"]) == ("timm/resnet10t.c3_in1k", url is None)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"sha256": "0" * 64}, "SHA-256 is .*, expected to begin with 0000"),
        (
            {"name": "resnet34"},
            r"not weights of resnet34: layer1\.2\.conv1\.weight is absent in the file, \[64, 64, 3, 3\]",
        ),
        ({"name": "resnet50"}, r"not weights of resnet50: layer1\.0\.conv1\.weight is \[64, 64, 3, 3\] in the file"),
        ({"name": "resnet19"}, r"backbone\.name = 'resnet19': .*; did you mean resnet1"),
        ({"name": "resnet10t"}, r"backbone\.name = 'resnet10t': .*; did you mean timm/resnet10t\?$"),
        ({"name": "timm/resnet10x"}, r"backbone\.name = 'timm/resnet10x': .*; did you mean timm/resnet10t\?$"),
        ({"name": "timm/resnet10t.x"}, r"backbone\.name = 'timm/resnet10t\.x': timm/resnet10t has c3_in1k$"),
        ({"name": "timm/resnet10t", "weights": "x"}, r"backbone\.weights = 'x': timm/resnet10t has c3_in1k$"),
        ({"name": "qqqq"}, r"backbone\.name = 'qqqq': .*; docs/backbones\.md lists some$"),
        ({"weights": "IMAGENET1K_V2"}, r"backbone\.weights = 'IMAGENET1K_V2': resnet18 has IMAGENET1K_V1, DEFAULT"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arena, changes: dict, complaint: str):
    with pytest.raises(WeightsError, match=complaint) as caught:
        arena.run(backbone, settings(arena, **changes), weights="none.safetensors", metrics="none.json")
    assert "\n" not in str(caught.value)
    assert not list(arena.folder.glob("*none*"))


def test_random_weights_are_the_librarys_and_always_the_same(arena):
    changes = settings(arena, weights="random", url=None)
    for name in ("first", "second"):
        arena.run(backbone, changes, weights=f"{name}.safetensors", metrics=f"{name}.json")
    assert arena.file("first.safetensors").read_bytes() == arena.file("second.safetensors").read_bytes()
    torch.manual_seed(0)
    drawn = torchvision.models.resnet18().state_dict()
    saved = load_backbone(arena.file("first.safetensors"))
    assert torch.equal(saved.state["layer4.1.conv2.weight"], drawn["layer4.1.conv2.weight"])
    figures = json.loads(arena.file("first.json").read_text())
    assert (figures["weights"], figures["sha256"], figures["published"]) == ("random", None, None)
