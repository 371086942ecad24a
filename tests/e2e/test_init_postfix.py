"""`patchgate init` beside a real Postfix: its own `postconf` is asked, and a real enforcer adopts what comes of it."""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from services.edge.settings import EdgeSettings
from shared.domain.policy import parse_policy
from shared.runtime.settings import from_env
from tests.support.enforcers import enforcer, environment, setup_for, topics
from tests.support.topic_io import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.postfix]

_COMMAND_S = 60.0


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


async def patchgate(*arguments: str, env: dict[str, str]) -> Done:
    """Run one command."""
    command = [sys.executable, "-m", "services.cli", *arguments]
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stdin=-3, stdout=-1, stderr=-1)
    out, err = await asyncio.wait_for(process.communicate(), _COMMAND_S)
    return Done(process.returncode or 0, out.decode(), err.decode())


def read(file: str) -> str:
    """Its text."""
    return Path(file).read_text()


def is_there(file: Path) -> bool:
    """Whether something stands there."""
    return file.exists()


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    """The settings of a Postfix that nobody runs; only its `postconf` is asked, which needs no root."""
    if shutil.which("postconf") is None:
        reason = "there is no Postfix on this machine (apt-get install postfix)"
        pytest.fail(f"CI must have a Postfix: {reason}") if os.environ.get("CI") else pytest.skip(reason)
    folder, networks = tmp_path / "etc", tmp_path / "networks"
    folder.mkdir()
    networks.write_text("# branch offices\n198.51.100.0/24 permit\n")
    (folder / "master.cf").write_text("")
    (folder / "main.cf").write_text(
        "compatibility_level = 3.6\n"
        "myhostname = mx1.$mydomain\n"
        "mydomain = neu.example\n"
        "hq = 10.0.0.0/8\n"
        f"mynetworks = 127.0.0.0/8 [::1]/128 $hq,\n  cidr:{networks}\n"
        "smtpd_tls_ask_ccert = ${{$compatibility_level} >=level {3.6} ? {yes} : {no}}\n"
        "smtpd_milters = inet:localhost:11332\n"
        "relay_clientcerts = hash:/etc/postfix/relay_clientcerts\n"
    )
    return folder


async def test_a_policy_made_of_a_real_postfix_is_adopted(
    config_dir: Path, broker_bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """Values are those that Postfix itself works out; check finds nothing, the enforcer takes it, an edge takes the settings."""
    env, file = environment(broker_bootstrap, prefix, tmp_path / "state"), str(tmp_path / "policy.toml")
    done = await patchgate("init", file, "--config-dir", str(config_dir), env=env)
    assert done.code == 0, done
    text = read(file)
    policy = parse_policy(text)
    assert (policy.mode, policy.receiver, policy.version) == ("observe", "neu.example", 2)
    assert "#   myhostname = mx1.neu.example  (PATCHGATE_EDGE)" in text
    assert "#   smtpd_tls_ask_ccert = yes  (whether tls_names" in text
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in done.out.splitlines() if line[:7] == "export "
    )
    edge = from_env(EdgeSettings, exported)
    edge.check()
    assert [str(one) for one in edge.never_judged_networks] == [
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "198.51.100.0/24",
    ]
    assert (edge.edge, str(edge.milter_endpoints[0])) == ("mx1.neu.example", "inet:127.0.0.1:11342")
    assert [line[:30] for line in done.out.splitlines() if line.startswith("# Mind: ")] == [
        "# Mind: relay_clientcerts (has",
        "# Mind: smtpd_milters (inet:lo",
    ]
    checked = await patchgate("policy", "check", file, env=env)
    assert checked.code == 0, checked
    assert "warning" not in checked.out
    await topics(broker_bootstrap, prefix)
    async with enforcer(setup_for(broker_bootstrap, prefix, tmp_path / "state")):
        adopted = await patchgate("policy", "adopt", file, "--who", "ops", "--why", "first", "--yes", env=env)
    assert adopted.code == 0, adopted
    assert "Policy version 2 is in force" in adopted.out


async def test_a_postfix_that_sets_nothing_is_told_what_was_made_up(config_dir: Path, tmp_path: Path) -> None:
    """Its networks come of its interfaces, and its name of the machine."""
    (config_dir / "main.cf").write_text("mynetworks_style = class\ninet_interfaces = 127.0.0.1\nmyhostname = mx\n")
    file, env = tmp_path / "policy.toml", {**os.environ, "PATCHGATE_STATE_DIR": str(tmp_path)}
    done = await patchgate("init", str(file), "--config-dir", str(config_dir), env=env)
    assert done.code == 0, done
    assert parse_policy(read(str(file))).receiver == "this mail server"
    assert "put your domain into receiver" in done.out
    assert "PATCHGATE_NEVER_JUDGED=127.0.0.0/8,::1/128\n" in done.out


@pytest.mark.usefixtures("config_dir")
async def test_a_postfix_that_is_not_there_is_told(tmp_path: Path) -> None:
    """What postconf says of it, in one line."""
    file, env = tmp_path / "policy.toml", {**os.environ, "PATCHGATE_STATE_DIR": str(tmp_path)}
    done = await patchgate("init", str(file), "--config-dir", str(tmp_path / "no"), env=env)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "postconf -c" in done.err
    assert not is_there(file)
