"""The log: fields of a decision, both forms, and what never gets in."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scaling_operator.api.names import Reason, TrialState
from scaling_operator.core.actions import (
    Action,
    AddScales,
    Ask,
    Discard,
    EndAttempt,
    EndTrial,
    Launch,
    OpenScale,
    SetState,
)
from scaling_operator.kube.client.client import Access
from scaling_operator.kube.client.index import Key
from scaling_operator.kube.logs import FIELDS, LogFormat, about, set_up
from scaling_operator.kube.recorder import write_decision
from scaling_trainer.foreign_text import REDACTED, redact

KEY = Key("team", "digits")
JWT = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50In0."
    "c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
)
PRIVATE_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: LogFormat, action: Action) -> str:
    stream = io.StringIO()
    set_up(form, stream)
    write_decision(KEY, action)
    return stream.getvalue()


DECISIONS: tuple[tuple[Action, dict[str, object]], ...] = (
    (AddScales(()), {}),
    (OpenScale(2, {}, ()), {}),
    (Ask(0, 3, None), {"trial": "0-3"}),
    (Launch(0, 3, 1), {"trial": "0-3", "attempt": 1}),
    (
        SetState(0, 3, TrialState.QUEUED, Reason.UNSCHEDULABLE, "no node"),
        {"trial": "0-3", "reason": "Unschedulable"},
    ),
    (
        EndAttempt(1, 12, 0, Reason.OOM_KILLED, "killed"),
        {"trial": "1-12", "attempt": 0, "reason": "OOMKilled"},
    ),
    (EndTrial(0, 3, TrialState.SUCCEEDED, values=(0.5,)), {"trial": "0-3"}),
    (
        EndTrial(0, 3, TrialState.FAILED, Reason.TRAINER_FAILED, "exit 1"),
        {"trial": "0-3", "reason": "TrainerFailed"},
    ),
    (Discard(0, 3, 1), {"trial": "0-3", "attempt": 1}),
)


@pytest.mark.parametrize(
    ("action", "fields"), DECISIONS, ids=[type(row[0]).__name__ for row in DECISIONS]
)
def test_every_decision_is_one_json_line_with_its_fields(
    action: Action, fields: dict[str, object]
) -> None:
    (line,) = written(LogFormat.JSON, action).splitlines()

    said = json.loads(line)
    assert said["message"]
    assert {"time", "level", "logger"} <= set(said)
    logged = {name: said[name] for name in FIELDS if name in said}
    assert logged == {"experiment": "team/digits", **fields}


def test_a_persons_line_ends_with_the_fields() -> None:
    line = written(LogFormat.TEXT, EndAttempt(0, 3, 0, Reason.OOM_KILLED, "killed"))

    assert line.endswith(
        "the attempt is over, another follows: killed"
        "  experiment=team/digits trial=0-3 attempt=0 reason=OOMKilled\n"
    )


def test_words_of_several_lines_stay_one_line() -> None:
    text = written(LogFormat.TEXT, EndTrial(0, 0, TrialState.FAILED, None, "Traceback:\n  a\n  b"))

    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("form", LogFormat)
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"the pod said {JWT}", JWT),
        (f"Authorization: Bearer {JWT}", JWT),
        ("{'authorization': 'bearer 0123456789abcdef'}", "0123456789abcdef"),
        ("proxy http://person:geheim@proxy:3128 does not answer", "geheim"),
        (f"certificate\n{PRIVATE_KEY}", PRIVATE_KEY.splitlines()[1]),
        (f"cut off: {PRIVATE_KEY[:120]}", PRIVATE_KEY[60:100]),
    ],
    ids=["token", "header", "opaque-token", "password", "key", "half-a-key"],
)
def test_no_secret_gets_in(form: LogFormat, text: str, secret: str) -> None:
    stream = io.StringIO()
    set_up(form, stream)

    logging.getLogger("kopf.anything").warning("%s", text, extra=about(KEY))
    try:
        int(text)
    except ValueError:
        logging.getLogger("scaling_operator").exception("a bug")

    said = stream.getvalue()
    assert secret not in said
    assert said.count(REDACTED) >= 2
    if form is LogFormat.JSON:
        assert all(json.loads(line) for line in said.splitlines())


def test_how_a_client_connects_is_shown_without_its_token() -> None:
    access = Access(
        server="https://x",
        ca_file=None,
        verifies=True,
        token=JWT,
        certificate_file=None,
        key_file=None,
    )

    assert JWT not in repr(access)


def test_kopfs_line_per_event_is_not_written() -> None:
    stream = io.StringIO()
    set_up(LogFormat.TEXT, stream)

    logging.getLogger("kopf.objects").info("Handler 'event' succeeded.")

    assert stream.getvalue() == ""


TOKENS = [
    pytest.param(JWT, REDACTED, id="a token alone"),
    pytest.param(f"token={JWT}, kept", f"token={REDACTED}, kept", id="among words"),
    pytest.param(f"token_{JWT}", f"token_{REDACTED}", id="at the end of a word"),
    pytest.param(f"a.b.{JWT}.c", f"a.b.{REDACTED}.c", id="among dots"),
    pytest.param(f"{JWT} {JWT}", f"{REDACTED} {REDACTED}", id="twice"),
    pytest.param(JWT.rpartition(".")[0] + ".", REDACTED, id="without a signature"),
    pytest.param(f"key: {PRIVATE_KEY}", f"key: {REDACTED}\n", id="a private key"),
    pytest.param("https://me:word@host", f"https://{REDACTED}@host", id="a password"),
    pytest.param("bearer 0123456789abc", f"bearer {REDACTED}", id="a bearer's"),
    pytest.param("eyJoy.of.names", "eyJoy.of.names", id="a word that only begins alike"),
    pytest.param("eyJhbGciOiJSUzI1NiIs.", "eyJhbGciOiJSUzI1NiIs.", id="a head alone"),
]


@pytest.mark.parametrize(("text", "expected"), TOKENS)
def test_secrets_are_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ",
        "eyJhbGciOiJSUzI1NiIs.",
        "eyJhbGciOiJSUzI1NiIs..",
        "a",
        "a.",
        ".",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN A",
        "bearer ",
        "basic a",
        "://a:",
        "://",
        "a:b@",
    ],
)
def test_redaction_takes_time_by_length_alone(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 5  # looking again from each character takes minutes
