"""What is shipped for those who operate a server names what the server really has."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from fettle.api.metrics import Meters
from fettle.cli.main import load_command
from fettle.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_NAME = re.compile(r"\bfettle_\w+")
_ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@pytest.fixture(scope="module")
def exposed():
    """Every metric's name, as Prometheus knows it."""
    return {family.name + end for family in Meters().registry.collect() for end in _ENDS[family.type]}


@pytest.mark.parametrize("file", ["grafana/dashboard.json", "fettle-alerts.yml"])
def test_every_query_names_metrics_that_the_server_exposes(file, exposed):
    asked = set(_NAME.findall((DEPLOY / file).read_text()))
    assert asked
    assert asked <= exposed


def test_the_dashboard_shows_every_metric(exposed):
    panels = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())["panels"]
    asked = {name for panel in panels for query in panel["targets"] for name in _NAME.findall(query["expr"])}
    assert asked == {name for name in exposed if not name.endswith(("_sum", "_count"))}


@pytest.mark.parametrize("file", ["fettle.service", "Containerfile"])
def test_what_is_started_has_these_options_and_settings(file):
    text = (DEPLOY / file).read_text()
    known = {option for parameter in load_command("up").params for option in parameter.opts}
    assert set(re.findall(r"--(?:host|port|tls)[\w-]*", text)) <= known
    names = {f"{Settings.PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bFETTLE_[A-Z_]+", text)) <= names


def test_the_image_installs_an_extra_that_there_is_on_a_python_that_fits():
    text = (DEPLOY / "Containerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r'"\.\[(\w+)\]"', text)) <= project["optional-dependencies"].keys()
    assert f">={re.search(r'python:([0-9.]+)-', text)[1]}" == project["requires-python"]
