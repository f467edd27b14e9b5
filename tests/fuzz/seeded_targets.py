"""Documents that are made from a seed: out of the definitions' schemas, and those that are run."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from crd_validator import validator
from document_targets import check_problems
from generated_documents import experiment
from hypothesis import strategies as st
from schema_documents import SchemaDocuments
from spec_run import run
from targets import Target, files

from scaling_operator.api.names import API_VERSION, EXPERIMENT_KIND, POLICY_KIND
from scaling_operator.api.problems import InvalidSpec
from scaling_operator.validation.crd import KINDS, Definition, definition
from scaling_operator.validation.load import experiment_of, parse_experiment, parse_policy

SEEDS = st.integers(0, 2**48)
CPU_SECONDS = 2.5
"""Five times the half second that a check may take, for machines that do other things too."""


SHARES = (0.0, 0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class SchemaCheck:
    """Documents of a kind's schema, and the reader that they are for."""

    kind: Definition
    read: Callable[[str, str], Any]
    sound: tuple[Mapping[str, Any], ...]
    """Documents that are taken, into which values of the schema are put."""

    def document(self, seed: int) -> dict[str, Any]:
        """Make a document; every other one is a sound one with a few values made anew."""
        random = Random(seed)
        odd, share = random.choice((0.0, 0.0, 0.02)), random.choice(SHARES)
        documents = SchemaDocuments(schema_of(self.kind), random, odd, share)
        whole = random.random() < 0.3
        document = documents.document() if whole else documents.grafted(random.choice(self.sound))
        return document | {"apiVersion": API_VERSION, "kind": self.kind.kind}

    def __call__(self, seed: int) -> bool:
        """Check a document soon; what is taken, an API server takes too, and it reads back."""
        text = json.dumps(self.document(seed))
        start = time.process_time()
        try:
            parsed = self.read(text, "made.json")
        except InvalidSpec as refused:
            check_problems(refused)
            return False
        finally:
            assert time.process_time() - start < CPU_SECONDS
        written = parsed.model_dump(mode="json", exclude_none=True)
        validator(self.kind).validate(json.loads(text))
        assert self.read(json.dumps(written, allow_nan=False), "again.json").spec == parsed.spec
        return True


@cache
def schema_of(kind: Definition) -> dict[str, Any]:
    """Give the schema that an API server holds documents of a kind against."""
    return definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def check_a_spec(seed: int) -> bool:
    """A spec that is accepted can be planned, and its study can be asked."""
    try:
        spec = experiment_of(experiment(Random(seed))).spec
    except InvalidSpec:
        return False
    with warnings.catch_warnings():
        # Samplers warn of ranges whose last step is short, and of figures that overflow on the way.
        warnings.simplefilter("ignore")
        run(spec, seed % 2**32)
    return True


def _of_schema(name: str, kind: str, read: Callable[[str, str], Any]) -> Target:
    kind_definition = next(candidate for candidate in KINDS if candidate.kind == kind)
    sound = [content.decode() for file, content in files(name) if file.endswith(("json", "yaml"))]
    taken = tuple(_document(text, read) for text in sound)
    check = SchemaCheck(
        kind_definition, read, tuple(document for document in taken if document is not None)
    )
    return Target(f"{name}-of-the-schema", SEEDS, check, in_a_test=60)


def _document(text: str, read: Callable[[str, str], Any]) -> dict[str, Any] | None:
    try:
        return read(text, "corpus").model_dump(mode="json", exclude_unset=True)
    except InvalidSpec:
        return None


TARGETS = (
    _of_schema("experiments", EXPERIMENT_KIND, parse_experiment),
    _of_schema("policies", POLICY_KIND, parse_policy),
    Target("specs-that-run", SEEDS, check_a_spec, in_a_test=0),
)
