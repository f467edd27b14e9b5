"""The report client against a real HTTP server on this machine."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import scaling_trainer
from scaling_trainer import report_client
from scaling_trainer.report import Reporter
from scaling_trainer.report_client import ReportClient
from scaling_trainer.results import Result, ResultError, parse_result


@dataclass(slots=True)
class Operator:
    """What an operator's endpoint heard, and how it is to answer."""

    heard: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list[tuple[str, dict[str, Any]]]
    )
    tokens: list[str | None] = field(default_factory=list[str | None])
    connections: set[int] = field(default_factory=set[int])
    action: str = "continue"
    durable: bool = True
    status: int = 200
    text: bytes | None = None
    retry_after: str | None = None
    allowance: int | None = None
    """Requests that are still taken; further ones are told to come later."""
    standbys: int = 0
    """Connections that reach a standby first."""

    def steps(self) -> list[int]:
        return [body["step"] for path, body in self.heard if path == "/v1/report"]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, operator: Operator, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.operator = operator
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ignore_error(self, request: object, client_address: object) -> None:
        """Say nothing about a client that does not trust the certificate."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        operator = self.server.operator
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operator.tokens.append(self.headers["Authorization"])
        operator.connections.add(self.client_address[1])
        if operator.standbys > 0:
            operator.standbys -= 1
            self.refuse(503)
            return
        if operator.allowance == 0:
            self.refuse(429)
            return
        if operator.allowance is not None:
            operator.allowance -= 1
        if operator.status == 200:
            operator.heard.append((self.path, body))
        answer: dict[str, Any] = {"action": operator.action}
        if self.path == "/v1/report":
            answer |= {"seq": body["seq"], "durable": body["seq"] if operator.durable else 0}
        text = operator.text if operator.text is not None else json.dumps(answer).encode()
        self.send_response(operator.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        # An operator that is away answers nobody on a kept connection either.
        self.close_connection = operator.status == 503

    def refuse(self, status: int) -> None:
        assert isinstance(self.server, Server)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 503:
            self.close_connection = True
        elif self.server.operator.retry_after is not None:
            self.send_header("Retry-After", self.server.operator.retry_after)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class says so
        del format, args


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def server(operator: Operator) -> Generator[Server]:
    server = Server(operator)
    yield server
    server.stop()


Connect = Callable[..., Reporter]


@pytest.fixture
def connect() -> Generator[Connect]:
    """Make reporters whose connections end with the test."""
    reporters: list[Reporter] = []

    def reporter(server: Server, folder: Path | None = None, **more: Any) -> Reporter:
        endpoint = ReportClient(more.pop("url", server.url), **more)
        reporters.append(Reporter(folder and folder / "result.json", endpoint))
        return reporters[-1]

    yield reporter
    for reporter_made in reporters:
        reporter_made.close()


def test_a_report_reaches_the_endpoint_and_the_file(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    client = connect(server, tmp_path)
    assert client.report(None, {"val_loss": 0.5, "val_accuracy": 1}) is False
    body = {"seq": 1, "step": 1, "metrics": {"val_loss": 0.5, "val_accuracy": 1}}
    assert server.operator.heard == [("/v1/report", body)]
    written = parse_result((tmp_path / "result.json").read_bytes())
    assert written == Result(metrics={"val_loss": 0.5, "val_accuracy": 1}, steps=1)


def test_figures_for_people_who_watch_go_along(connect: Connect, server: Server) -> None:
    figures = {"samples": 640.0, "seconds": 2.5}
    connect(server).report(None, {"val_loss": 0.5}, figures)

    body = {"seq": 1, "step": 1, "metrics": {"val_loss": 0.5}, "figures": figures}
    assert server.operator.heard == [("/v1/report", body)]


def test_a_report_says_its_phase_where_there_is_one(connect: Connect, server: Server) -> None:
    connect(server).report(None, {"val_loss": 0.5}, phase="stable")
    body = {"seq": 1, "step": 1, "metrics": {"val_loss": 0.5}, "phase": "stable"}
    assert server.operator.heard == [("/v1/report", body)]


def test_all_reports_go_over_one_connection(connect: Connect, server: Server) -> None:
    client = connect(server)
    for _ in range(5):
        client.report(None, {"val_loss": 1.0})
    assert server.operator.steps() == [1, 2, 3, 4, 5]
    assert len(server.operator.connections) == 1


@pytest.mark.parametrize("action", ["prune", "stop"])
def test_the_training_is_told_to_end_and_stays_told(
    connect: Connect, server: Server, action: str
) -> None:
    client = connect(server)
    assert client.report(None, {"val_loss": 1.0}) is False
    server.operator.action = action
    assert client.report(None, {"val_loss": 1.0}) is True
    server.operator.action = "continue"
    assert client.report(None, {"val_loss": 1.0}) is True


def test_steps_go_on_from_the_one_given(connect: Connect, server: Server) -> None:
    client = connect(server)
    for step in (7, None, 12, None):
        client.report(step, {"val_loss": 1.0})
    assert server.operator.steps() == [7, 8, 12, 13]


def test_what_cannot_be_sent_waits_and_is_sent_in_order(
    connect: Connect,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(report_client, "FIRST_PAUSE_SECONDS", 0.0)
    server = Server(operator)
    client = connect(server)
    client.report(None, {"val_loss": 1.0})
    server.stop()
    client.close()
    for _ in range(3):
        assert client.report(None, {"val_loss": 1.0}) is False
    again = Server(operator, server.server_port)
    client.report(None, {"val_loss": 1.0})
    again.stop()
    assert operator.steps() == [1, 2, 3, 4, 5]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_after_a_failure_the_training_is_not_held_up_again(
    connect: Connect, server: Server
) -> None:
    client = connect(server)
    server.operator.status = 500
    for _ in range(10):
        client.report(None, {"val_loss": 1.0})
    assert len(server.operator.tokens) == 1
    server.operator.status = 200
    client.result(Result(metrics={"val_loss": 2.0}))
    assert server.operator.steps() == list(range(1, 11))
    assert server.operator.heard[-1] == (
        "/v1/result",
        {"v": 1, "metrics": {"val_loss": 2.0}, "steps": 10},
    )


def test_what_was_taken_but_not_durable_is_sent_again_to_the_next_operator(
    connect: Connect,
    operator: Operator,
) -> None:
    operator.durable = False
    first = Server(operator)
    client = connect(first)
    client.report(None, {"val_loss": 1.0})
    client.report(None, {"val_loss": 1.0})
    assert operator.steps() == [1, 2]
    # A standby answers 503 and closes; the one behind the same address then takes over.
    operator.status = 503
    client.report(None, {"val_loss": 1.0})
    operator.status, operator.durable = 200, True
    client.result(Result(metrics={"val_loss": 1.0}))
    first.stop()
    assert operator.steps() == [1, 2, 1, 2, 3]


def test_a_connection_that_was_closed_meanwhile_costs_no_report(
    connect: Connect, operator: Operator
) -> None:
    server = Server(operator)
    client = connect(server)
    client.report(None, {"val_loss": 1.0})
    operator.status = 503
    client.report(None, {"val_loss": 1.0})
    operator.status = 200
    client.close()
    client.client = ReportClient(server.url)
    client.report(None, {"val_loss": 1.0})
    client.close()
    server.stop()
    assert operator.steps() == [1, 2, 3]


def test_a_standby_behind_the_same_address_costs_no_report(
    connect: Connect, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.operator.standbys = 4
    client = connect(server)
    client.report(None, {"val_loss": 1.0})
    assert server.operator.steps() == [1]
    assert len(server.operator.connections) == 5
    assert caplog.records == []


def test_where_all_replicas_are_standbys_the_training_goes_on(
    connect: Connect, server: Server
) -> None:
    server.operator.standbys = 1000
    client = connect(server)
    for _ in range(5):
        assert client.report(None, {"val_loss": 1.0}) is False
    assert len(server.operator.connections) == 5
    server.operator.standbys = 0
    client.result(Result(metrics={"val_loss": 1.0}))
    assert server.operator.steps() == [1, 2, 3, 4, 5]


def test_an_endpoint_that_says_later_is_not_asked_before_and_the_connection_stays(
    connect: Connect, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.operator.allowance, server.operator.retry_after = 3, "1"
    server.operator.durable = False
    client = connect(server)
    for _ in range(10):
        assert client.report(None, {"val_loss": 1.0}) is False
    assert len(server.operator.tokens) == 4
    server.operator.allowance = None
    # The end of a training waits for the endpoint, and sends nothing twice.
    client.result(Result(metrics={"val_loss": 1.0}))
    assert server.operator.steps() == list(range(1, 11))
    assert len(server.operator.connections) == 1
    assert caplog.records == []


@pytest.mark.slow
def test_the_end_of_a_training_waits_a_bounded_time(
    connect: Connect, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Reporter.__module__], "PATIENCE_SECONDS", 0.7)
    monkeypatch.setattr(report_client, "FIRST_PAUSE_SECONDS", 0.3)
    server.operator.allowance, server.operator.retry_after = 0, "0"
    client = connect(server, tmp_path)
    client.report(None, {"val_loss": 1.0})
    started = time.monotonic()
    client.result(Result(metrics={"val_loss": 0.5}))
    assert time.monotonic() - started < 2
    assert parse_result((tmp_path / "result.json").read_bytes()).metrics == {"val_loss": 0.5}


@pytest.mark.parametrize("retry_after", [None, "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "²", "-1"])
def test_a_pause_that_cannot_be_read_is_one_of_our_own(
    connect: Connect, server: Server, retry_after: str | None
) -> None:
    server.operator.allowance, server.operator.retry_after = 0, retry_after
    client = connect(server)
    for _ in range(5):
        assert client.report(None, {"val_loss": 1.0}) is False
    assert len(server.operator.tokens) == 1


@pytest.mark.parametrize("status", [400, 413])
def test_a_refused_report_does_not_hold_up_the_next_ones(
    connect: Connect, server: Server, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(server)
    server.operator.status = status
    client.report(None, {"val_loss": 1.0})
    server.operator.status = 200
    client.report(None, {"val_loss": 1.0})
    assert server.operator.steps() == [2]
    assert "the report of step 1 was refused" in caplog.text


@pytest.mark.parametrize("text", [b"", b"nonsense", b"[]"])
def test_an_endpoint_that_is_something_else_does_no_harm(
    connect: Connect, server: Server, text: bytes
) -> None:
    server.operator.text = text
    assert connect(server).report(None, {"val_loss": 1.0}) is False


@pytest.mark.parametrize("durable", [None, "x", -1, 10**9])
def test_an_odd_answer_does_no_harm(connect: Connect, server: Server, durable: object) -> None:
    client = connect(server)
    server.operator.text = json.dumps({"durable": durable, "action": ["?"]}).encode()
    assert client.report(None, {"val_loss": 1.0}) is False
    server.operator.text = None
    client.report(None, {"val_loss": 1.0})
    assert server.operator.steps() == [1, 2]


def test_the_token_is_read_anew_for_each_request(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    client = connect(server, token_file=token)
    for word in ("one", "two\n"):
        token.write_text(word)
        client.report(None, {"val_loss": 1.0})
    assert server.operator.tokens == ["Bearer one", "Bearer two"]


def test_a_missing_token_is_trouble_for_the_log_alone(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    client = connect(server, token_file=tmp_path / "none")
    assert client.report(None, {"val_loss": 1.0}) is False


def test_values_that_are_not_finite_are_left_out_and_named_once(
    connect: Connect, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(server, tmp_path)
    for _ in range(2):
        client.report(None, {"val_loss": math.nan, "val_mae": math.inf, "val_mse": 1.0})
    assert [body["metrics"] for _, body in server.operator.heard] == [{"val_mse": 1.0}] * 2
    assert parse_result((tmp_path / "result.json").read_bytes()).metrics == {"val_mse": 1.0}
    assert [record.getMessage().split()[0] for record in caplog.records] == ["val_loss", "val_mae"]


class Scalar:
    """A number of another library, as a tensor of one element."""

    def __float__(self) -> float:
        return 0.25


def test_numbers_of_other_libraries_are_taken(connect: Connect, server: Server) -> None:
    metrics: dict[str, Any] = {"val_loss": Scalar()}
    connect(server).report(None, metrics)
    assert server.operator.heard[0][1]["metrics"] == {"val_loss": 0.25}


@pytest.mark.parametrize(
    ("step", "metrics", "complaint"),
    [
        pytest.param(None, {"val/": 1.0}, "'val/' is no metric's name", id="a slash at the end"),
        pytest.param(None, {"-3d": 1.0}, "'-3d' is no metric's name", id="a sign in front"),
        pytest.param(None, {"": 1.0}, "'' is no metric's name", id="no name"),
        pytest.param(None, {"loss": "1.0"}, "metric loss is '1.0', not a number", id="text"),
        pytest.param(None, {"loss": None}, "metric loss is None", id="nothing"),
        pytest.param(None, {"loss": True}, "metric loss is True", id="a truth value"),
    ],
)
def test_mistakes_of_the_programmer_are_raised(
    connect: Connect, server: Server, step: int | None, metrics: dict[str, Any], complaint: str
) -> None:
    client = connect(server)
    with pytest.raises(ValueError, match=complaint):
        client.report(step, metrics)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        pytest.param(0, "step is 0; the next one is a whole number above 4", id="from 0"),
        pytest.param(3, "step is 3; the next one is a whole number above 4", id="it falls"),
        pytest.param(4.5, "step is 4.5", id="a half"),
        pytest.param("5", "step is '5'", id="text"),
        pytest.param(math.nan, "step is nan", id="not a number"),
        pytest.param(2**60, "step is 1152921504606846976", id="absurd"),
    ],
)
def test_a_step_that_cannot_be_never_breaks_a_training(
    connect: Connect, server: Server, caplog: pytest.LogCaptureFixture, step: Any, complaint: str
) -> None:
    client = connect(server)
    client.report(4, {"loss": 1.0})
    for _ in range(3):
        client.report(step, {"loss": 0.5})
    client.report(5, {"loss": 0.25})
    client.result(Result(metrics={}))

    assert set(server.operator.steps()) == {4, 5}
    assert caplog.text.count("no point is drawn") == 1
    assert complaint in caplog.text


def test_steps_that_begin_at_0_lose_one_point_and_no_value(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    client = connect(server)
    client.result_file = tmp_path / "result.json"
    client.report(0, {"loss": 1.0})
    assert parse_result(client.result_file.read_bytes()).metrics == {"loss": 1.0}
    client.report(1, {"loss": 0.5})

    assert server.operator.steps() == [1]


def test_steps_of_other_libraries_are_taken(connect: Connect, server: Server) -> None:
    client = connect(server)
    for step in (Index(1), 2.0):
        client.report(step, {"loss": 1.0})  # pyright: ignore[reportArgumentType] # as scripts do
    assert server.operator.steps() == [1, 2]


class Index:
    """A whole number that is none of Python's, as NumPy's."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


def test_values_of_one_step_may_come_in_two_reports(
    connect: Connect, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(server)
    client.result_file = tmp_path / "result.json"
    client.report(1, {"train_loss": 1.0})
    client.report(1, {"val_loss": 2.0})

    result = parse_result(client.result_file.read_bytes())
    assert result.metrics == {"train_loss": 1.0, "val_loss": 2.0}
    assert caplog.text == ""


def test_a_full_disk_before_the_end_breaks_no_training(
    connect: Connect, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(server)
    client.result_file = tmp_path / "missing" / "result.json"
    for step in (1, 2):
        client.report(step, {"loss": 1.0})
    assert server.operator.steps() == [1, 2]
    assert caplog.text.count("cannot be written now") == 1
    with pytest.raises(OSError, match="missing"):
        client.result(Result(metrics={"loss": 1.0}))


def test_more_metrics_than_a_result_holds_are_refused(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(ResultError, match="report fewer metrics"):
        connect(server, tmp_path).report(None, {f"metric_{n}": 0.1 for n in range(400)})


def test_a_result_without_metrics_has_those_of_the_last_report(
    connect: Connect, server: Server, tmp_path: Path
) -> None:
    client = connect(server, tmp_path)
    client.report(3, {"val_loss": 0.5})
    client.result(Result(reason="Diverged"))
    expected = Result(metrics={"val_loss": 0.5}, steps=3, reason="Diverged")
    assert parse_result((tmp_path / "result.json").read_bytes()) == expected


def test_the_file_is_replaced_at_once_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    client = Reporter(file)
    client.report(None, {"val_loss": 1.0})
    before = file.stat().st_ino
    client.report(None, {"val_loss": 2.0})
    assert file.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [file]


def test_a_trainer_that_always_ends_by_a_result_writes_the_file_once(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    client = Reporter(file, keeps_file=False)
    client.report(None, {"val_loss": 1.0})
    assert not file.exists()
    client.result(Result(metrics={"val_loss": 2.0}))
    assert parse_result(file.read_bytes()).metrics == {"val_loss": 2.0}


def test_a_file_that_nothing_can_take_the_place_of_is_written_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A pod's termination log is a mount of its own; renaming onto it is refused.
    def busy(self: Path, target: Path) -> Path:
        raise OSError(16, f"{self} is busy", str(target))

    monkeypatch.setattr(Path, "replace", busy)
    file = tmp_path / "result.json"
    file.write_text("something longer than what comes " * 10)
    client = Reporter(file)
    client.report(None, {"val_loss": 1.0})
    client.report(None, {"val_loss": 2.0})
    assert parse_result(file.read_bytes()).metrics == {"val_loss": 2.0}
    assert list(tmp_path.iterdir()) == [file]


def test_without_the_variables_a_report_does_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    client = Reporter.from_environment({})
    assert client.report(None, {"val_loss": 1.0}) is False
    client.result(Result(metrics={"val_loss": 1.0}))
    assert capfd.readouterr() == ("", "")


def test_a_script_reports_by_keyword(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    script = (
        "from scaling_trainer import report, result\n"
        "assert report(val_loss=0.5) is False\n"
        "assert report(step=5, val_loss=0.25) is False\n"
        "result(val_loss=0.125)\n"
        "import sys\n"
        "known = {name.split('.')[0] for name in sys.modules}\n"
        "assert not known & {'torch', 'numpy', 'pydantic', 'pandas'}, known\n"
    )
    environment = os.environ | {
        "SCALING_REPORT_URL": server.url,
        "SCALING_REPORT_TOKEN_FILE": str(token),
        "SCALING_RESULT_FILE": str(tmp_path / "result.json"),
    }
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert server.operator.steps() == [1, 5]
    assert parse_result((tmp_path / "result.json").read_bytes()).metrics == {"val_loss": 0.125}


def test_the_package_offers_functions_under_the_names_of_their_module() -> None:
    assert callable(scaling_trainer.report)
    assert callable(scaling_trainer.result)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_only_the_given_certificate_is_trusted(
    connect: Connect, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=operator"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    server = Server(operator)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http", "https")
    monkeypatch.setattr(Server, "handle_error", Server.ignore_error)
    connect(server, url=url).report(None, {"val_loss": 1.0})
    assert operator.heard == []
    trusting = connect(server, url=url, ca=certificate.read_text())
    trusting.report(None, {"val_loss": 1.0})
    trusting.close()
    server.stop()
    assert operator.steps() == [1]
