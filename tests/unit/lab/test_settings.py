"""Settings of a lab: what is allowed, where they are kept, what is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import __main__ as cli
from lab import paths, settings
from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.errors import LabError


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("roots", "must be KEY=VALUE"),
        ("rots=late", "no setting 'rots'. Settings: roots, "),
        ("roots=sometimes", "roots must be one of: "),
        ("roots=", "roots must be one of: "),
        ("=late", "no setting ''"),
    ],
)
def test_unknown_settings_are_refused_with_the_list_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, error: str
) -> None:
    with pytest.raises(LabError, match="--set"):
        settings.parse(text)
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "lab"))
    assert cli.main(["up", "--set", "gloo=2.11", "--set", text]) == 1
    assert error in capsys.readouterr().err
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize("key", settings.SETTINGS)
def test_every_allowed_value_is_kept_until_it_is_changed(tmp_path: Path, key: str) -> None:
    lab = Lab(
        home=tmp_path,
        clusters={"mgmt": Cluster("mgmt", tmp_path / "kubeconfig")},
        management="mgmt",
        programs={},
        istio_charts=tmp_path,
        operator_gateway_api=tmp_path,
    )
    assert lab.setting(key) == settings.SETTINGS[key].values[0]
    for value in settings.SETTINGS[key].values:
        settings.change(tmp_path, [settings.parse(f"{key}={value}")])
        settings.change(tmp_path, [])
        assert lab.setting(key) == value
    others = {name: value for name, value in settings.values(tmp_path).items() if name != key}
    assert others == {name: setting.default for name, setting in settings.SETTINGS.items() if name != key}


def test_a_value_of_another_version_of_the_lab_counts_as_not_set(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"roots": "never", "gone": "x"}')
    assert settings.value(tmp_path, "roots") == settings.SETTINGS["roots"].default
    assert "gone" not in settings.values(tmp_path)


def test_a_setting_that_does_not_exist_is_an_error_of_the_part(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        settings.value(tmp_path, "rots")


def test_the_help_lists_all_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for key, setting in settings.SETTINGS.items():
        assert f"{key}={'|'.join(setting.values)} {setting.plays}" in text


def test_the_readme_has_the_same_table() -> None:
    lines = (paths.REPOSITORY / "lab" / "README.md").read_text().splitlines()
    found = [line for line in lines if line.startswith("| `")]
    rows = [(key, setting.values, setting.plays) for key, setting in settings.SETTINGS.items()]
    expected = [
        f"| `{key}` | {', '.join(f'**`{v}`**' if v == values[0] else f'`{v}`' for v in values)} | {plays} |"
        for key, values, plays in rows
    ]
    assert [line for line in found if line.split("`")[1] in settings.SETTINGS] == expected
