"""A result folder that is damaged, was copied by hand, or is somebody else's."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_operator.api.names import TrialState
from scaling_operator.api.status import ExperimentStatus, TrialStatus
from scaling_operator.api.trial import ExperimentReference, ScalingTrial, TrialSpec
from scaling_operator.core.observed import ABSENT, Rules
from scaling_operator.core.plan import plan
from scaling_operator.local.contents import Contents
from scaling_operator.local.export import write_report
from scaling_operator.local.store import Store, StoreError, expect_undamaged, repair
from scaling_operator.report.build import studies_of
from scaling_operator.runtime.record import ExperimentRecord, table
from scaling_operator.runtime.state import read_state
from scaling_operator.validation.load import experiment_of
from scaling_trainer.writing import temporary_name

EXPERIMENT = experiment_of(
    {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "test"},
        "spec": {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": {
                    "x": {"type": "float", "low": -1, "high": 1},
                    "kind": {"type": "categorical", "choices": ["a", "b"]},
                }
            },
            "trials": {"max": 4},
            "trainer": {"container": {"command": ["true"]}},
        },
    }
)
SLOTS = ("0-0", "0-1", "0-2", "0-3")


def make(root: Path) -> Store:
    """A folder as a run leaves it."""
    store = Store(root)
    store.lock()
    identity = store.begin(EXPERIMENT)
    for number in range(4):
        spec = TrialSpec(
            experiment=ExperimentReference(name="test", uid=identity.uid),
            scale=0,
            number=number,
            parameters={"x": number / 4, "kind": "a"},
            searched=("x", "kind"),
            seed=number,
        )
        status = TrialStatus(state=TrialState.SUCCEEDED, values=(1.0 - number / 4,))
        store.write_trial(ScalingTrial(spec=spec, status=status))
    contents = store.contents()
    store.write_status("test", status_of(contents))
    (root / "trials.csv").write_text(table(contents.trials))
    (root / "report.html").write_text("")
    store.unlock()
    return store


def status_of(contents: Contents) -> ExperimentStatus:
    """What a run makes of a folder."""
    rules = Rules(max_trials=4)
    state = read_state(contents.identity.spec, rules, contents.status, contents.trials)
    status = plan(state.observe(lambda _trial, _key: ABSENT, (), 0.0)).status
    record = ExperimentRecord(
        name=contents.identity.name,
        uid=contents.identity.uid,
        spec=contents.identity.spec,
        status=status,
        trials=contents.trials,
    )
    assert set(studies_of(record)) <= {0}
    assert table(contents.trials)
    return status


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made_store = make(tmp_path / "out")
    yield made_store
    made_store.unlock()


def slots(contents: Contents) -> tuple[str, ...]:
    return tuple(f"{trial.spec.scale}-{trial.spec.number}" for trial in contents.trials)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_in_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def linked_away(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


def huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(60 * 1024**2)


def copied(path: Path) -> None:
    shutil.copytree(path, path.with_name(f"{path.name} copy"))


def copied_to_a_free_number(path: Path) -> None:
    shutil.copytree(path, path.with_name("0-9"))


def of_another_run(path: Path) -> None:
    make(path.parents[3] / "other")
    shutil.rmtree(path)
    shutil.copytree(path.parents[3] / "other" / "trials" / path.name, path)


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        document = json.loads(path.read_text())
        document["spec"] |= changes.get("spec", {})
        document["status"] |= changes.get("status", {})
        path.write_text(json.dumps(document))

    return edit


def file_for_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


def link_for_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("/")


TRIAL = "trials/0-1/trial.json"
KEPT = ("0-0", "0-2", "0-3")
DAMAGE = [
    pytest.param("result.json", emptied, "is empty", SLOTS, id="an empty result"),
    pytest.param("result.json", cut, "is no JSON", SLOTS, id="half a result"),
    pytest.param("result.json", folder_in_place, "is a folder", SLOTS, id="a folder as result"),
    pytest.param("result.json", pipe_in_place, "is a pipe", SLOTS, id="a pipe as result"),
    pytest.param("result.json", huge, "is larger than", SLOTS, id="a result of 60 MiB"),
    pytest.param("result.json", linked_away, "is a link", SLOTS, id="a result from elsewhere"),
    pytest.param("trials.csv", folder_in_place, "is a folder", SLOTS, id="a folder as table"),
    pytest.param("report.html", folder_in_place, "is a folder", SLOTS, id="a folder as report"),
    pytest.param("trials", file_for_folder, "is no folder", (), id="a file as trials"),
    pytest.param("trials", link_for_folder, "is no folder", (), id="trials elsewhere"),
    pytest.param(TRIAL, emptied, "is empty", KEPT, id="an empty trial"),
    pytest.param(TRIAL, cut, "is damaged", KEPT, id="half a trial"),
    pytest.param(TRIAL, folder_in_place, "is a folder", KEPT, id="a folder as trial"),
    pytest.param(TRIAL, pipe_in_place, "is a pipe", KEPT, id="a pipe as trial"),
    pytest.param(TRIAL, huge, "is larger than", KEPT, id="a trial of 60 MiB"),
    pytest.param(TRIAL, linked_away, "is a link", KEPT, id="a trial's file from elsewhere"),
    pytest.param("trials/0-1", link_for_folder, "is a link", KEPT, id="a trial that is a link"),
    pytest.param("trials/0-1", file_for_folder, "is no folder", KEPT, id="a file as folder"),
    pytest.param("trials/0-1", copied, "the folder is a copy", SLOTS, id="a copied trial"),
    pytest.param(
        "trials/0-1",
        copied_to_a_free_number,
        "the folder is a copy",
        SLOTS,
        id="a trial copied to a free number",
    ),
    pytest.param("trials/0-1", of_another_run, "of another run", KEPT, id="another run's trial"),
    pytest.param(TRIAL, edited(spec={"scale": -3}), "is damaged: 1 fields", KEPT, id="scale -3"),
    pytest.param(
        TRIAL,
        edited(spec={"searched": ["x", "z"]}),
        "does not fit",
        KEPT,
        id="a parameter that is not searched",
    ),
    pytest.param(
        TRIAL, edited(status={"values": [1.0, 2.0]}), "does not fit", KEPT, id="two values"
    ),
    pytest.param(
        TRIAL,
        edited(spec={"parameters": {"x": "a", "kind": "a"}}),
        "does not fit",
        KEPT,
        id="text as a number",
    ),
]


@pytest.mark.parametrize(("place", "damage", "reason", "intact"), DAMAGE)
def test_what_is_damaged_is_named_and_the_others_can_be_used(
    store: Store, place: str, damage: Callable[[Path], None], reason: str, intact: tuple[str, ...]
) -> None:
    damage(store.root / place)
    contents = store.contents()
    assert [reason in str(damage) for damage in contents.damaged] == [True]
    assert str(contents.damaged[0]).startswith(str((store.root / place).parent))
    assert slots(contents) == intact
    status_of(contents)
    with pytest.raises(StoreError, match="--repair"):
        expect_undamaged(contents.damaged)


@pytest.mark.parametrize(("place", "damage", "reason", "intact"), DAMAGE)
def test_what_is_damaged_is_set_aside_whole_and_told_and_nothing_else_is_touched(
    store: Store, place: str, damage: Callable[[Path], None], reason: str, intact: tuple[str, ...]
) -> None:
    damage(store.root / place)
    untouched = {
        path: path.read_bytes()
        for slot in intact
        for path in (store.root / "trials" / slot).iterdir()
    }
    notes: list[str] = []
    repair(store, EXPERIMENT, notes.append)
    contents = store.contents()
    assert contents.damaged == ()
    assert slots(contents) == intact
    assert {path: path.read_bytes() for path in untouched} == untouched
    (note,) = notes
    assert reason in note
    assert os.path.lexists(note.rsplit("set aside as ", 1)[1])
    notes.clear()
    repair(store, EXPERIMENT, notes.append)
    assert not notes


def test_the_same_name_is_set_aside_twice(store: Store) -> None:
    for _ in range(2):
        emptied(store.root / "result.json")
        repair(store, EXPERIMENT, lambda _: None)
        (store.root / "result.json").write_text("")
    names = sorted(path.name for path in (store.root / "damaged").iterdir())
    assert names == ["result.json", "result.json.2"]


@pytest.mark.parametrize("damage", [emptied, cut, folder_in_place, pipe_in_place, Path.unlink])
def test_an_experiment_that_cannot_be_read_is_written_anew_with_the_uid_of_its_trials(
    store: Store, damage: Callable[[Path], None]
) -> None:
    uid = store.identity().uid
    damage(store.root / "experiment.json")
    with pytest.raises(StoreError, match=r"experiment\.json|holds no experiment"):
        store.contents()
    repair(store, EXPERIMENT, lambda _: None)
    contents = store.contents()
    assert (contents.identity.uid, slots(contents)) == (uid, SLOTS)


def test_foreign_files_are_left_alone(store: Store) -> None:
    for place in ("notes.txt", "trials/README", "trials/.DS_Store", "trials/0-1/notes"):
        (store.root / place).write_text("mine")
    (store.root / "trials" / "old").mkdir()
    (store.root / "trials" / "0-7").mkdir()  # a run died before it wrote its trial
    contents = store.contents()
    assert (contents.damaged, slots(contents)) == ((), SLOTS)
    store.begin(EXPERIMENT)
    assert (store.root / "notes.txt").read_text() == "mine"


def test_what_a_killed_run_has_left_half_written_is_deleted(store: Store) -> None:
    left = [
        folder / temporary_name(folder / "trial.json")
        for folder in (store.root, store.root / "trials" / "0-1")
    ]
    for path in left:
        path.write_text("{")
    (store.root / "trials" / "0-9").symlink_to(store.root / "trials" / "0-1")
    store.begin(EXPERIMENT)
    assert not any(path.exists() for path in left)


def test_a_new_folder_may_hold_what_a_killed_run_has_left(tmp_path: Path) -> None:
    tmp_path.joinpath(temporary_name(Path("experiment.json"))).write_text("{")
    fresh = Store(tmp_path)
    fresh.lock()
    fresh.begin(EXPERIMENT)
    fresh.unlock()


@pytest.mark.parametrize("name", [".lock", "experiment.json", "result.json", "report.html"])
def test_no_link_is_followed_when_a_folder_is_written_to(
    store: Store, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    contents = store.contents()
    for link in (store.root / name, store.root / temporary_name(store.root / name)):
        link.unlink(missing_ok=True)
        link.symlink_to(victim)
    if name == ".lock":
        with pytest.raises(StoreError, match=r"\.lock cannot be written"):
            store.lock()
    else:
        store.write_experiment(EXPERIMENT, "uid")
        store.write_status("test", contents.status)
        write_report(store.root, replace(contents, trials=()).record, below=store.root)
        assert not (store.root / name).is_symlink()
    assert victim.read_text() == "theirs"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    if isinstance(document, dict):
        inner = list(cast("dict[str, Any]", document).items())
    else:
        inner = list(enumerate(cast("list[Any]", document) if isinstance(document, list) else ()))
    for name, value in inner:
        yield from leaves(value, (*path, name))


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = put(document[path[0]], path[1:], value)
    return changed


@pytest.fixture(scope="module")
def kept_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make(tmp_path_factory.mktemp("made") / "out")


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", ["result.json", TRIAL])
def test_whatever_stands_in_a_file_it_is_used_or_named(
    kept_store: Store, name: str, data: st.DataObject
) -> None:
    path = kept_store.root / name
    original = path.read_text()
    document = json.loads(original)
    place = data.draw(st.sampled_from(list(leaves(document))))
    try:
        path.write_text(json.dumps(put(document, place, data.draw(JSON))))
        contents = kept_store.contents()
        if not contents.damaged:
            status_of(contents)
        else:
            assert [damage.path for damage in contents.damaged] == [path]
    finally:
        path.write_text(original)


@given(data=st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", ["result.json", TRIAL, "experiment.json"])
def test_a_file_that_was_cut_anywhere_is_named(
    kept_store: Store, name: str, data: st.DataObject
) -> None:
    path = kept_store.root / name
    original = path.read_bytes()
    whole = len(original.rstrip())
    try:
        path.write_bytes(original[: data.draw(st.integers(0, whole - 1))])
        if name == "experiment.json":
            with pytest.raises(StoreError, match=r"experiment\.json"):
                kept_store.contents()
        else:
            assert [damage.path for damage in kept_store.contents().damaged] == [path]
    finally:
        path.write_bytes(original)
