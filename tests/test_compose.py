"""What compose.cluster.yaml and deploy/nginx.conf have to agree on; no Docker starts them here."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which moto brings along")
ROOT = Path(__file__).parents[1]


@pytest.fixture
def cluster() -> Any:
    return yaml.safe_load((ROOT / "compose.cluster.yaml").read_text())


@pytest.fixture
def proxied() -> list[str]:
    """The servers that nginx asks."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    return re.findall(r"^\s*server ([\w-]+):8000", text, re.MULTILINE)


def test_nginx_asks_the_servers_that_there_are(cluster: Any, proxied: list[str]) -> None:
    served = [name for name in cluster["services"] if re.fullmatch(r"lookalike-\d+", name)]
    assert proxied == served


def test_the_proxy_that_is_trusted_is_nginx(cluster: Any, proxied: list[str]) -> None:
    address = cluster["services"]["nginx"]["networks"]["inside"]["ipv4_address"]
    for name in proxied:
        assert cluster["services"][name]["environment"]["LOOKALIKE_TRUST_PROXY"] == address


def test_servers_share_no_folder_for_what_is_their_own(cluster: Any, proxied: list[str]) -> None:
    homes = {cluster["services"][name]["environment"]["XDG_DATA_HOME"] for name in proxied}
    assert len(homes) == len(proxied)


def test_an_address_that_is_fixed_is_given_to_nobody_else(cluster: Any, proxied: list[str]) -> None:
    (config,) = cluster["networks"]["inside"]["ipam"]["config"]
    given_out = ipaddress.IPv4Network(config["ip_range"])
    assert given_out.subnet_of(ipaddress.IPv4Network(config["subnet"]))
    for name in ["nginx", *proxied]:
        fixed = cluster["services"][name]["networks"]["inside"]["ipv4_address"]
        assert ipaddress.ip_address(fixed) in ipaddress.IPv4Network(config["subnet"])
        assert ipaddress.ip_address(fixed) not in given_out


def test_pictures_that_fail_do_not_keep_the_servers_down(cluster: Any, proxied: list[str]) -> None:
    # `index` ends with 1 where one picture of many is broken, and takes days where there are many.
    for name in proxied:
        assert "index" not in cluster["services"][name]["depends_on"]
        assert cluster["services"][name]["restart"] == "unless-stopped"
