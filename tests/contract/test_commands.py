# SPDX-License-Identifier: Apache-2.0
"""The commands as processes, with and without an agent: one clear line for each trouble, the exit code as settled."""

import asyncio
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import trustme
from tests import embedded_nodes as nodes
from tests.embedded_nodes import agent, until, until_moment

from tidegate.sim.faults import FaultKind

OK, FAILING, USAGE, TIME_OUT, DEGRADED, UNKNOWN = range(6)
NOBODY = 65534


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A command that has ended."""

    code: int
    out: str
    err: str
    took: float


_AS_NOBODY = f"""
import concurrent.futures.thread, encodings.ascii, encodings.idna, encodings.latin_1, os, sys
import tidegate.agent.direct, tidegate.agent.service, tidegate.cli.main, tidegate.cli.status, tidegate.cli.wait
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.exit(tidegate.cli.main.main(sys.argv[1:]))
"""
"""The interpreter may lie where only root can read it: so everything is imported before root is given up."""


async def tidegate(
    *arguments: str,
    unprivileged: bool = False,
    env: dict[str, str] | None = None,
    folder: Path,
    program: str | None = None,
    told: Callable[[str], None] = lambda _line: None,
) -> Done:
    """Run the command in an environment that shows nothing of this machine's own Tidegate, LINSTOR or Incus.

    ``told`` gets each line of standard error as it comes.
    """
    program = _AS_NOBODY if unprivileged else program
    clean = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"}
    clean |= {
        "TIDEGATE_AGENT_RUN_DIR": str(folder / "run"),
        "TIDEGATE_AGENT_STATE_DIR": str(folder / "state"),
    }
    loop = asyncio.get_running_loop()
    began = loop.time()
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            *(["-c", program] if program else ["-m", "tidegate"]),
            *arguments,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean | (env or {}),
        cwd="/",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.ensure_future(process.stdout.read())
    err = ""
    async with asyncio.timeout(nodes.WITHIN):
        async for line in process.stderr:
            err += line.decode()
            told(line.decode())
        out = await reading
        code = await process.wait()
    return Done(code=code, out=out.decode(), err=err, took=loop.time() - began)


def last_line(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2]


# --- no agent, and something wrong with the host ------------------------------------------------


async def test_no_command_prints_help(tmp_path: Path) -> None:
    done = await tidegate(folder=tmp_path)
    assert done.code == USAGE
    assert "tidegate wait" in done.out
    assert done.err == ""


async def test_the_version(tmp_path: Path) -> None:
    done = await tidegate("--version", folder=tmp_path)
    assert re.fullmatch(r"tidegate \d+\.\d+\.\d+\n", done.out)
    assert done.code == OK


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bogus"], "invalid choice: 'bogus'"),
        (["wait", "c1"], "'c1' is not a subject"),
        (["wait", "--timeout", "soon"], "'soon' is no length of time"),
        (["why", "volume/x"], "volume"),
        (["why"], "SUBJECT"),
        (["agent", "--frob"], "--frob"),
        (["status", "--controller", "ftp://x"], "unknown scheme 'ftp'"),
        (["wait", "--config", "/nonexistent"], "cannot read /nonexistent"),
        (["agent", "--config", "/nonexistent"], "cannot read /nonexistent"),
    ],
)
async def test_a_mistake_is_named_in_one_line(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = await tidegate(*arguments, folder=tmp_path)
    assert done.code == USAGE
    assert told in last_line(done.err)
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[linstor]\ncontrollerz = ['http://a']\n",
            "linstor.controllerz: there is no such key, did you mean controllers?",
        ),
        ("[agent]\npoll_fast = 'often'\n", "agent.poll_fast"),
        ("[linstor\n", "tidegate.toml:1: this is not TOML"),
    ],
)
@pytest.mark.parametrize("command", ["status", "wait", "agent"])
async def test_a_mistake_in_the_file_names_file_and_key(
    tmp_path: Path, command: str, text: str, told: str
) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(text)
    done = await tidegate(command, "--config", str(file), folder=tmp_path)
    assert done.code == USAGE
    assert told in done.err
    assert str(file) in last_line(done.err)
    assert done.out == ""


@pytest.mark.needs("root")
async def test_a_file_that_may_not_be_read(reachable: Path) -> None:
    file = reachable / "secret.toml"
    file.write_text("")
    file.chmod(0o600)
    done = await tidegate("wait", "--config", str(file), folder=reachable, unprivileged=True)
    assert done.code == USAGE
    assert f"cannot read {file}: Permission denied" in last_line(done.err)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that any user may enter; pytest's own belong to one user."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="tidegate-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def server(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Something that answers every request with ``answer`` (none: never)."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer:
                writer.write(answer)
                await writer.drain()
                writer.close()
            else:
                await reader.read()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def wait_for(url: str, folder: Path, *more: str, unprivileged: bool = False) -> Done:
    return await tidegate(
        "wait",
        "satellite",
        "--timeout",
        "1",
        "--controller",
        url,
        "--node",
        "n1",
        *more,
        folder=folder,
        unprivileged=unprivileged,
    )


async def test_wait_where_nothing_of_linstor_is(tmp_path: Path) -> None:
    """Nothing to wait for is no failure: a unit that waits must not hold such a host."""
    done = await tidegate(
        "wait", "--timeout", "60", "--node", "n1", folder=tmp_path, env=nowhere(tmp_path)
    )
    assert done.code == OK
    assert last_line(done.out).startswith("nothing to wait for on n1: no LINSTOR here")
    assert done.took < 30


def nowhere(folder: Path) -> dict[str, str]:
    """Variables under which a host looks empty."""
    root = folder / "root"
    (root / "dev").mkdir(parents=True, exist_ok=True)
    return {
        "TIDEGATE_INCUS_SOCKET": str(folder / "none" / "unix.socket"),
        "TIDEGATE_SYSTEMD_USE": "off",
        "TIDEGATE_DRBD_USE": "off",
    }


async def test_wait_at_a_port_where_nobody_listens(tmp_path: Path) -> None:
    done = await wait_for("http://127.0.0.1:1", tmp_path)
    assert done.code == TIME_OUT
    assert "gave up after 1 s, not ready: controller: http://127.0.0.1:1" in last_line(done.err)
    assert "refused" in last_line(done.err)


async def test_what_a_program_reads_is_on_standard_output_however_it_ended(tmp_path: Path) -> None:
    done = await wait_for("http://127.0.0.1:1", tmp_path, "--format", "json")
    assert done.code == TIME_OUT
    assert json.loads(done.out)["verdict"] == "give-up"


async def test_wait_at_a_wrong_url(tmp_path: Path) -> None:
    async with server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnginx") as port:
        done = await wait_for(f"http://127.0.0.1:{port}", tmp_path)
    assert done.code in {FAILING, TIME_OUT}
    assert f"http://127.0.0.1:{port}" in last_line(done.err)
    assert "not a LINSTOR controller" in last_line(done.err)


async def test_wait_at_a_name_that_does_not_exist(tmp_path: Path) -> None:
    done = await wait_for("http://no-such-host.invalid:3370", tmp_path)
    assert done.code in {TIME_OUT, UNKNOWN}
    assert "no-such-host.invalid" in last_line(done.err)


async def test_wait_with_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with server(b"", context) as port:
        done = await wait_for(f"https://localhost:{port}", tmp_path)
    assert done.code == FAILING
    assert "unknown CA" in last_line(done.err)
    assert f"https://localhost:{port}" in last_line(done.err)
    assert "waiting does not help" in last_line(done.err)
    assert "linstor.ca_file, or LS_ROOT_CA_FILE" in last_line(done.err)


async def test_wait_with_a_ca_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(f'[linstor]\nca_file = "{tmp_path}/none.pem"\n')
    done = await wait_for("https://127.0.0.1:1", tmp_path, "--config", str(file))
    assert done.code in {FAILING, USAGE}
    assert f"{tmp_path}/none.pem" in last_line(done.err)


async def test_wait_at_a_controller_that_hangs(tmp_path: Path) -> None:
    async with server(b"") as port:
        done = await wait_for(f"http://127.0.0.1:{port}", tmp_path)
    assert done.code in {TIME_OUT, UNKNOWN}
    assert "controller" in last_line(done.err)
    assert done.took < 15


_NO_ANSWER_FROM_DNS = """
import socket, sys, threading
def hang(*_arguments, **_keywords):
    threading.Event().wait(60)
socket.getaddrinfo = hang
from tidegate.cli.main import main
sys.exit(main())
"""
NAMED = ("--controller", "http://controller.example:3370", "--node", "n1")


@pytest.mark.parametrize("command", ["status", "wait satellite --timeout 1"])
async def test_a_name_that_is_never_resolved_holds_up_no_command(
    tmp_path: Path, command: str
) -> None:
    """The thread that asks for it cannot be cancelled; it is left behind."""
    arguments = (*command.split(), *NAMED)
    done = await tidegate(*arguments, folder=tmp_path, program=_NO_ANSWER_FROM_DNS)
    assert done.took < 30
    assert done.code in {TIME_OUT, UNKNOWN}
    assert "Traceback" not in done.err


async def test_a_name_that_is_never_resolved_holds_up_no_agents_end(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _NO_ANSWER_FROM_DNS, "agent", *NAMED),
        *("--run-dir", str(run_dir), "--state-dir", str(tmp_path / "state")),
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
    )
    assert process.stderr is not None
    async with asyncio.timeout(nodes.WITHIN):
        while b"satellite" not in await process.stderr.readline():
            pass
        began = asyncio.get_running_loop().time()
        process.terminate()
        _out, err = await process.communicate()
    assert process.returncode == 0
    assert asyncio.get_running_loop().time() - began < 3
    assert b"Traceback" not in err


@pytest.mark.needs("root")
async def test_wait_without_root(reachable: Path) -> None:
    done = await wait_for("http://127.0.0.1:1", reachable, unprivileged=True)
    assert done.code == TIME_OUT
    assert "refused" in last_line(done.err)
    assert "Traceback" not in done.err


async def test_a_pipe_is_not_told_the_time_every_second(tmp_path: Path) -> None:
    done = await tidegate(
        *("wait", "satellite", "--timeout", "3", "--controller", "http://127.0.0.1:1"),
        folder=tmp_path,
    )
    assert len(done.err.splitlines()) <= 4, done.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
async def test_a_terminal_of_another_alphabet_loses_a_sign_and_no_answer(
    tmp_path: Path, encoding: str
) -> None:
    arguments = ("status", "--controller", "http://127.0.0.1:1", "--node", "n1")
    env = {**nowhere(tmp_path), "PYTHONIOENCODING": encoding}
    done = await tidegate(*arguments, folder=tmp_path, env=env)
    assert done.code == FAILING, done.err
    assert "controller.refused" in done.out
    assert done.err == ""


async def test_quiet_tells_the_end_only(tmp_path: Path) -> None:
    done = await wait_for("http://127.0.0.1:1", tmp_path, "--quiet")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["/proc/none", "/tmp/" + "x" * 120])
async def test_an_agent_that_can_have_no_socket_says_so(tmp_path: Path, name: str) -> None:
    done = await tidegate("agent", "--run-dir", name, folder=tmp_path)
    assert done.code == USAGE
    assert f"commands could not ask at {name}/agent.sock" in last_line(done.err)
    assert "Traceback" not in done.err


# --- with a node ---------------------------------------------------------------------------------


async def test_wait_without_an_agent_until_all_is_ready(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, None))

    def heard(line: str) -> None:
        if "satellite: OFFLINE" in line:
            node.world.clear_faults()

    async with node.running():
        config = str(nodes.config_file(node))
        done = await tidegate(
            *("wait", "--timeout", "20", "--config", config), folder=tmp_path, told=heard
        )
    assert (done.code, done.out) == (OK, "satellite and 3 volumes are ready\n")
    assert "no agent runs" in done.err
    assert "satellite: OFFLINE" in done.err
    assert node.incus.world.validations == [], "a command only looks"


async def test_the_controller_is_learnt_from_incus_before_anything_is_given_up(
    tmp_path: Path,
) -> None:
    """On an ordinary host nothing else names it, and Incus takes a moment to answer."""
    node = nodes.node(tmp_path)
    async with node.running():
        await until(node, lambda: "c3" in nodes.running(node))
        node.incus.world.config["storage.linstor.controller_connection"] = node.linstor_face.url
        node.incus.world.config["storage.linstor.satellite.name"] = "n1"
        config = nodes.config_file(node)
        config.write_text(re.sub(r"(?m)^(controllers|name) = .*\n", "", config.read_text()))
        arguments = ("wait", "instance/c1", "--timeout", "10", "--config", str(config))
        done = await tidegate(*arguments, folder=tmp_path)
    assert (done.code, done.out) == (OK, "instance/default/c1 is ready\n"), done.err


async def test_commands_answered_by_the_agent(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running(), agent(node) as running:
        await running.until(lambda status: status["grade"] == "ok")
        config = ("--config", str(nodes.config_file(node)))
        status = await tidegate("status", *config, folder=tmp_path, env=nodes.no_run_dir())
        waited = await tidegate("wait", *config, folder=tmp_path, env=nodes.no_run_dir())
        why = await tidegate("why", "instance/c1", *config, folder=tmp_path, env=nodes.no_run_dir())
        unknown = await tidegate(
            "why", "instance/x", *config, folder=tmp_path, env=nodes.no_run_dir()
        )
        shown = await tidegate(
            "status", "--format", "json", *config, folder=tmp_path, env=nodes.no_run_dir()
        )
    assert status.code == OK
    assert "4 of 4 wanted instances run" in status.out
    assert "no agent" not in status.out
    assert (waited.code, waited.out) == (OK, "satellite and 3 volumes are ready\n")
    assert (why.code, last_line(why.out)[:28]) == (OK, "instance/default/c1 is ready")
    assert unknown.code == USAGE
    assert "known: instance/default/c1" in unknown.err
    assert json.loads(shown.out)["grade"] == "ok"


async def test_status_while_a_source_hangs_answers_at_once(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.CONTROLLER_HANGS, None))
    async with node.running(), agent(node) as running:
        await running.until(lambda s: s["sources"].get("linstor", {}).get("liveness") == "lost")
        config = ("--config", str(nodes.config_file(node)))
        with_agent = await tidegate("status", *config, folder=tmp_path, env=nodes.no_run_dir())
        status = await running.status()
    assert with_agent.took < 5, "not even one time-out of the source"
    assert with_agent.code in {FAILING, UNKNOWN}
    assert "linstor lost" in with_agent.out
    assert nodes.subject(status, "host")["grade"] == "ok"
    assert nodes.subject(status, "satellite")["grade"] == "unknown"


async def test_status_without_an_agent_while_a_source_hangs(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.CONTROLLER_HANGS, None))
    async with node.running():
        config = str(nodes.config_file(node))
        done = await tidegate("status", "--format", "json", "--config", config, folder=tmp_path)
    status = json.loads(done.out)
    assert done.took < 15
    assert done.code in {FAILING, UNKNOWN}
    assert not nodes.subject(status, "controller")["ready"]
    assert nodes.subject(status, "controller")["grade"] == "unknown"
    assert "linstor did not answer within 1 s" in nodes.subject(status, "controller")["summary"]
    assert status["sources"]["linstor"]["liveness"] == "lost"
    assert nodes.subject(status, "host")["grade"] == "ok"


async def test_the_first_cause_is_told(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, None))
    async with node.running(), agent(node) as running:
        await running.until(lambda s: "satellite.offline" in nodes.codes(s))
        await running.until(lambda s: nodes.subject(s, "instance/default/c1") != {})
        config = ("--config", str(nodes.config_file(node)))
        done = await tidegate(
            "why", "instance/c1", *config, folder=tmp_path, env=nodes.no_run_dir()
        )
        wait = await tidegate(
            *("wait", "instance/c1", "pool/remote", "--timeout", "1"),
            *config,
            folder=tmp_path,
            env=nodes.no_run_dir(),
        )
    assert done.code == FAILING
    assert "First cause: satellite: OFFLINE" in done.out
    assert wait.code == TIME_OUT
    assert "satellite: OFFLINE" in last_line(wait.err)
    assert len(wait.err.splitlines()) <= 4


async def test_wait_whose_agent_goes_away(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, None))
    async with node.running(), agent(node) as running:
        await running.until(lambda s: "satellite.offline" in nodes.codes(s))
        config = ("--config", str(nodes.config_file(node)))
        waiting = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate", "wait", *config), stderr=subprocess.PIPE
        )
        assert waiting.stderr is not None
        async with asyncio.timeout(nodes.WITHIN):
            assert b"satellite: OFFLINE" in await waiting.stderr.readline()
            await running.end(nodes.KILL)
            _out, err = await waiting.communicate()
    assert waiting.returncode == UNKNOWN
    assert "the agent went away" in last_line(err.decode())


async def test_bash_reads_the_completion(tmp_path: Path) -> None:
    for shell, words in (("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete -c")):
        done = await tidegate("completion", shell, folder=tmp_path)
        assert done.code == OK
        assert words in done.out
        if shell == "bash":
            script = tmp_path / "tidegate.bash"
            script.write_text(done.out)
            for line, offered in (
                ("tidegate bo", {"boot"}),
                ("tidegate boot e", {"explain", "export"}),
                ("tidegate status --format ", {"table", "json"}),
                ("tidegate why st", {"storage-pool/"}),
                ("tidegate wait --tim", {"--timeout"}),
            ):
                assert await _completed(script, line) == offered


_ASK_BASH = """
compopt() { :; }
source "$1"
COMP_WORDS=($2) COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
[[ $2 == *\\  ]] && COMP_WORDS+=("") && (( COMP_CWORD += 1 ))
_tidegate
printf "%s\\n" "${COMPREPLY[@]}"
"""


async def _completed(script: Path, line: str) -> set[str]:
    """What bash offers after ``line``."""
    asked = await asyncio.create_subprocess_exec(
        *("bash", "-c", _ASK_BASH, "bash", str(script), line), stdout=subprocess.PIPE
    )
    out, _ = await asked.communicate()
    assert asked.returncode == 0
    return set(out.decode().split())
