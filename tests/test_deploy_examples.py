"""The files of ``examples/deploy``: what they start exists, and drains in the time they give it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobd import config
from jobd.cli import jobd
from tests.test_documentation import flags_of, words_of

DEPLOY = Path(__file__).parent.parent / "examples" / "deploy"
GIVE_BACK_S = 10


@pytest.fixture
def objects() -> dict[str, Any]:
    """What the manifest makes, by kind."""
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yml").read_text())
    return {each["kind"]: each for each in found}


@pytest.fixture
def settings(objects: dict[str, Any], tmp_path: Path) -> config.Config:
    """The settings of the manifest, as jobd reads them."""
    (tmp_path / "jobd.yml").write_text(objects["ConfigMap"]["data"]["jobd.yml"])
    flags = config.Flags(config=tmp_path / "jobd.yml", environment="production")
    return config.load(flags, {"REDIS_URL": "redis://redis/0"}, tmp_path)


def test_kubernetes_gives_jobs_the_time_that_jobd_gives_them(
    objects: dict[str, Any], settings: config.Config
) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= settings.timeout + GIVE_BACK_S


def test_kubernetes_asks_where_jobd_answers(
    objects: dict[str, Any], settings: config.Config
) -> None:
    template = objects["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert settings.health == f"0.0.0.0:{port['containerPort']}"
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    asked = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
    assert {name: get["path"] for name, get in asked.items()} == {
        "startupProbe": "/readyz",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {get["port"] for get in asked.values()} == {port["name"]}


def commands() -> dict[str, list[str]]:
    """How each file starts jobd."""
    manifest = (DEPLOY / "kubernetes.yml").read_text()
    in_cluster = re.search(r"command: \[(.*)\]", manifest)
    in_image = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    worker = re.search(r"^worker: (.*)$", (DEPLOY / "Procfile").read_text(), re.MULTILINE)
    assert in_cluster
    assert in_image
    assert worker
    return {
        "kubernetes.yml": in_cluster[1].split(", "),
        "Dockerfile": json.loads(in_image[1]),
        "Procfile": words_of(worker[1]),
    }


@pytest.mark.parametrize("name", ["kubernetes.yml", "Dockerfile", "Procfile"])
def test_the_command_that_is_started_has_these_flags(name: str) -> None:
    program, *words = commands()[name]
    assert program == "jobd"
    assert {word for word in words if word.startswith("-")} <= flags_of(jobd)
