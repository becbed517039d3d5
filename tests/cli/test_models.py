from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.models.zoo.registry import list_models, model_spec
from napari_vrp_sam.models.zoo.user_models import list_user_models

runner = CliRunner()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path))
    return tmp_path


def test_help_names_every_command() -> None:
    shown = runner.invoke(app, ["--help"]).stdout
    line = " ".join(shown[shown.index("List, show") :].replace("│", " ").split())
    for name in ("list", "show", "download", "verify", "import", "export", "rename", "delete"):
        assert name in line.lower()[:100], name


@pytest.mark.parametrize("arguments", [["models"], ["models", "list"]])
def test_list(arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0
    for spec in list_models():
        assert spec.name in result.stdout


def test_show() -> None:
    result = runner.invoke(app, ["models", "show", "vit_b"])
    spec = model_spec("vit_b")
    assert spec.sam_weights is not None
    shown = "".join(result.stdout.split())
    assert spec.sam_weights.url in shown
    assert spec.sam_weights.digest in shown
    assert runner.invoke(app, ["models", "show", "vit_x"]).exit_code == 2


def test_show_lists_training_data_and_accuracy_of_the_packaged_weights() -> None:
    shown = runner.invoke(app, ["models", "show", "lite"]).stdout
    for fact in (
        "synthetic worlds of this project",
        "CC BY",
        "learning_rate: 0.0004",
        "mean_iou: 0.",
    ):
        assert fact in shown, fact


def test_verify_reports_intact_missing_and_damaged_weights() -> None:
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split("\n")[0] == "lite: intact"
    result = runner.invoke(app, ["models", "verify", "vit_b"])
    assert result.exit_code == 2
    assert "vrp-sam models download vit_b" in result.stderr
    for file in model_spec("vit_b").downloads:
        file.path.write_bytes(b"half of it")
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 2
    assert "vit_b: damaged" in result.stdout
    assert "download them again" in result.stderr


def test_nothing_to_download() -> None:
    result = runner.invoke(app, ["models", "download", "lite"])
    assert result.exit_code == 0
    assert "included in the package" in result.stdout


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    (tmp_path / "mito.safetensors").write_bytes(packaged.read_bytes())
    return tmp_path / "mito.safetensors"


def models(*arguments: object, typed: str | None = None) -> Result:
    return runner.invoke(app, ["models", *map(str, arguments)], input=typed)


def test_import_rename_export_and_delete_a_user_model(model_file: Path, tmp_path: Path) -> None:
    assert models("import", model_file, "--name", "mito [EM]").exit_code == 2
    assert models("import", model_file, "--name", "mito EM").exit_code == 0
    assert "mito EM" in models().stdout
    shown = models("show", "mito EM").stdout
    assert "mitoEM.safetensors" in "".join(shown.split())
    assert "synthetic worlds of this project" in shown
    assert "mito EM: intact" in models("verify").stdout
    assert "is a user model" in models("download", "mito EM").stdout
    assert models("rename", "mito EM", "mito").exit_code == 0
    exported = tmp_path / "out.safetensors"
    assert models("export", "mito", exported).exit_code == 0
    assert exported.read_bytes() == model_file.read_bytes()
    for typed in ("n\n", None):
        refused = models("delete", "mito", typed=typed)
        assert refused.exit_code == 2
        assert "'mito' was not deleted" in refused.stderr
    assert models("delete", "mito", typed="y\n").exit_code == 0
    assert models("import", exported).exit_code == 0
    assert models("delete", "out", "--yes").exit_code == 0
    assert list_user_models() == []
    gone = models("delete", "out", "--yes")
    assert gone.exit_code == 2
    assert "no user models yet" in gone.stderr


def test_damaged_user_models_are_listed_and_reported(model_file: Path, user_models: Path) -> None:
    user_models.mkdir()
    (user_models / "cut.safetensors").write_bytes(model_file.read_bytes()[:-1])
    listed = models("list")
    assert listed.exit_code == 0
    assert "damaged" in listed.stdout
    verified = models("verify")
    assert verified.exit_code == 2
    assert "lite: intact" in verified.stdout
    assert "is damaged" in verified.stderr
