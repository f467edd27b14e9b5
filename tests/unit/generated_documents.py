"""Experiments by chance, valid by construction: small ones, and the largest that a CRD takes.

    experiment(Random(7))                    # a small one, of any kind
    experiment(Random(7), LARGEST)           # lists, maps and texts at their bounds
    for name, document in largest(): ...     # each kind of excess by itself
    broken(Random(7), document)              # the same with something wrong somewhere

The same seed makes the same document. What is wrong in a broken one is not known; most are refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from scaling_operator.api.search import LARGEST_INT

Json = dict[str, Any]
Scalars = list[Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The most of everything; a document has from one to so many."""

    parameters: int = 6
    choices: int = 5
    conditions: int = 2
    points: int = 3
    rungs: int = 5
    text: int = 12
    is_full: bool = False
    """Whether everything is as many as it may be."""

    def of(self, random: Random, most: int) -> int:
        """Choose a number of things."""
        return most if self.is_full else random.randint(1, most)


SMALL = Sizes()
LARGEST = Sizes(
    parameters=100, choices=300, conditions=10, points=100, rungs=100, text=200, is_full=True
)
WIDEST_INT = LARGEST_INT
ALGORITHMS = (*("random", "grid", "tpe", "genetic") * 4, "gp")  # gp takes a second for an ask
PRUNERS = ("none", "median", "percentile", "patient", "asha", "hyperband")
INT_RANGES = (
    (0, 1), (-5, 5), (7, 7), (1, 1000), (1, 2**31), (-WIDEST_INT, WIDEST_INT),
    (WIDEST_INT - 1, WIDEST_INT), (-WIDEST_INT, -WIDEST_INT + 3), (0, WIDEST_INT),
)  # fmt: skip
FLOAT_RANGES = (
    (0.0, 1.0), (-1.0, 1.0), (3.5, 3.5), (0.0, 1e-100), (1e-100, 1e100), (-1e100, 1e100),
    (0.0, 1e100), (1e-100, 2e-100), (1e9, 1e9 + 1000), (-1e-9, 1e-9), (0.1, 0.3), (1.0, 1 + 2e-9),
)  # fmt: skip


def experiment(random: Random, sizes: Sizes = SMALL) -> Json:
    """Make an experiment of one's own container."""
    algorithm = random.choice(ALGORITHMS)
    is_grid = algorithm == "grid"
    parameters = _parameters(random, sizes, is_grid=is_grid)
    has_one_objective = random.random() < 0.8
    spec: Json = {
        "search": {
            "parameters": parameters,
            "algorithm": _algorithm(random, algorithm),
            "pruner": _pruner(random) if has_one_objective else {"name": "none"},
            "warmStart": {"points": _points(random, sizes, parameters)},
        },
        "trials": {"max": random.choice((1, 40, 100_000)), "parallel": random.choice((1, 1000))},
        "trainer": {"container": {"image": "me/train", "command": ["train"]}},
    }
    if has_one_objective:
        spec["objective"] = _objective(random, "loss")
        if random.random() < 0.5 or sizes.is_full:
            spec["scaling"] = _scaling(random, sizes)
    else:
        spec["objectives"] = [_objective(random, f"m{at}") for at in range(random.randint(2, 8))]
    if random.random() < 0.5 or sizes.is_full:
        spec["resources"] = {"estimate": _estimate(random, sizes, parameters)}
    return document(spec)


def document(spec: Json) -> Json:
    """Put a spec into an object."""
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "generated"},
        "spec": spec,
    }


def _objective(random: Random, metric: str) -> Json:
    goal = random.choice((None, 0.0, -1e308, 1e308))
    objective: Json = {"metric": metric, "direction": random.choice(("minimize", "maximize"))}
    return objective if goal is None else {**objective, "goal": goal}


def _parameters(random: Random, sizes: Sizes, *, is_grid: bool) -> Json:
    """Make parameters; each may hang on those before it."""
    parameters: Json = {}
    room = 1000  # points of a grid that are left
    for at in range(sizes.of(random, sizes.parameters)):
        parameter, values = _parameter(random, sizes, is_grid=is_grid, room=room)
        room //= max(1, values)
        controllers = [name for name, earlier in parameters.items() if _takes(earlier)]
        if controllers and (random.random() < 0.4 or sizes.is_full):
            number = min(len(controllers), sizes.of(random, sizes.conditions))
            chosen = random.sample(controllers[-12:], min(number, len(controllers[-12:])))
            parameter["when"] = {name: _some(random, sizes, parameters[name]) for name in chosen}
        parameters[random.choice((f"p{at}", f"section.p{at}", f"_{at}", f"P{at}x"))] = parameter
    return parameters


def _parameter(random: Random, sizes: Sizes, *, is_grid: bool, room: int) -> tuple[Json, int]:
    """Make a parameter; for a grid, with how many values, of which there is room for so many."""
    kind = random.choice(("float", "int", "categorical"))
    if sizes.is_full and kind != "categorical" and random.random() < 0.7:
        kind = "categorical"
    if is_grid:
        return _of_a_grid(random, kind, min(room, 4))
    if kind == "categorical":
        number = sizes.of(random, sizes.choices)
        return {"type": kind, "choices": _choices(random, sizes, number)}, 1
    ranges: Any = INT_RANGES if kind == "int" else FLOAT_RANGES
    low, high = random.choice(ranges)
    parameter: Json = {"type": kind, "low": low, "high": high}
    way = random.random()
    if way < 0.3 and low > 0:
        parameter["log"] = True
    elif way < 0.6 and low < high:
        parts = random.choice((1, 2, 3, 7, 1000))
        step = max(1, (high - low) // parts) if kind == "int" else (high - low) / parts
        if step > 0:
            parameter["step"] = step
    return parameter, 1


def _of_a_grid(random: Random, kind: str, most: int) -> tuple[Json, int]:
    number = random.randint(1, max(1, most))
    if kind == "categorical":
        return {"type": kind, "choices": [f"c{at}" for at in range(number)]}, number
    step = 0.1 if kind == "float" else random.choice((1, 10**14))
    low = random.choice((0, -1, 7))
    if number == 1:
        return {"type": kind, "low": low, "high": low}, 1
    return {"type": kind, "low": low, "high": low + step * (number - 1), "step": step}, number


def _choices(random: Random, sizes: Sizes, number: int) -> Scalars:
    texts: Scalars = [f"c{at}".ljust(min(sizes.text, 20), "x") for at in range(number)]
    odd: Scalars = [True, False, 0, 1.5, -1e308, 2**53, "", "a b", "é", "1", "\N{BLACK STAR}"]
    for at in range(min(number, random.randint(0, 4))):
        texts[at] = odd.pop(random.randrange(len(odd)))
    return texts


def _takes(parameter: Json) -> bool:
    return parameter["type"] != "float"


def _some(random: Random, sizes: Sizes, controller: Json) -> Scalars:
    """Choose values that a controller takes."""
    if controller["type"] == "int":
        return [controller["low"]]
    choices: Scalars = controller["choices"]
    return random.sample(choices, min(len(choices), sizes.of(random, 4)))


def _points(random: Random, sizes: Sizes, parameters: Json) -> list[Json]:
    """Make points to try first: of each the first few parameters that are active."""
    points: list[Json] = []
    for _ in range(sizes.of(random, sizes.points) if random.random() < 0.6 or sizes.is_full else 0):
        point: Json = {}
        for name, parameter in list(parameters.items())[: random.randint(1, len(parameters))]:
            conditions: Json = parameter.get("when", {})
            if all(point.get(parent, _NEVER) in allowed for parent, allowed in conditions.items()):
                point[name] = _first(random, parameter)
        points.append(point)
    return [point for point in points if point]


_NEVER = object()


def _first(random: Random, parameter: Json) -> Any:
    if parameter["type"] == "categorical":
        return random.choice(parameter["choices"])
    return parameter["low"]


def _algorithm(random: Random, name: str) -> Json:
    algorithm: Json = {"name": name}
    if random.random() < 0.5:
        algorithm["seed"] = random.choice((0, 2**32 - 1))
    if name in ("tpe", "gp"):
        algorithm["startupTrials"] = random.choice((1, 2, 10_000))
    if name == "genetic":
        algorithm["populationSize"] = random.choice((2, 3, 10_000))
    return algorithm


def _pruner(random: Random) -> Json:
    name = random.choice(PRUNERS)
    many = random.choice((1, 10, 10_000))
    by_name: dict[str, Json] = {
        "median": {"startupTrials": random.choice((0, many)), "warmupSteps": many},
        "percentile": {"percentile": random.choice((0, 25.5, 100)), "startupTrials": 0},
        "patient": {"patience": random.choice((0, many)), "minDelta": random.choice((0, 1e308))},
        "asha": {"minSteps": many, "reductionFactor": random.choice((2, 100))},
        "hyperband": {
            "minSteps": 1, "maxSteps": random.choice((100, 10_000_000)),
            "reductionFactor": random.choice((2, 3, 100)),
        },
    }  # fmt: skip
    return {"name": name, **by_name.get(name, {})}


def _scaling(random: Random, sizes: Sizes) -> Json:
    number = sizes.of(random, sizes.rungs)
    scaling: Json = {}
    design = random.choice(("ladder", "grid"))
    if design == "grid":
        of_data = random.randint(1, max(1, min(10, sizes.rungs)))
        number = max(1, min(number, 100 // of_data))
        scaling |= {"design": design, "data": [10 ** min(at, 18) + at for at in range(of_data)]}
    if random.random() < 0.5:
        step = random.choice((1, 0.5, 1e-300, 1e306))
        scaling |= {"parameter": "size", "sizes": [step * (at + 1) for at in range(number)]}
    else:
        width = 20 if sizes.is_full else random.randint(1, 3)
        rungs = [{f"r{side}": at * 10 + side for side in range(width)} for at in range(number)]
        scaling["rungs"] = rungs
    if random.random() < 0.7:
        scaling["transfer"] = {
            "topK": random.choice((0, 3, 50)),
            "shrink": random.choice((1e-9, 1.0)),
        }
    aims: list[Json] = [{"flops": 1e300}, {"parameters": 1e-300}, {"loss": 0.1}, {"cost": 5}]
    scaling["targets"] = random.sample(aims, random.randint(0, 4))
    scaling["fit"] = {"bootstrap": 100, "form": random.choice(("auto", "power"))}
    return scaling


AMOUNTS = (
    "parameters", "samples", "flops", "bytesPerParameter", "batchSize", "activationBytes",
    "largestUnit", "deviceMemory", "hostMemory", "sharedMemory", "cpu",
)  # fmt: skip


def _estimate(random: Random, sizes: Sizes, parameters: Json) -> Json:
    """Make amounts: numbers, quantities, and expressions over parameters that always are there."""
    numbers = [
        name
        for name, parameter in parameters.items()
        if "low" in parameter and "when" not in parameter
    ]
    terms = [f"max(0.0, min(1000.0, parameters['{name}']))" for name in numbers] or ["1.0"]
    length = 1024 if sizes.is_full else 60
    estimate: Json = {}
    for name in AMOUNTS if sizes.is_full else random.sample(AMOUNTS, random.randint(1, 5)):
        text = random.choice(terms)
        while len(text) < length - 60:
            text += f" + {random.choice(terms)}"
        estimate[name] = random.choice((text, text, random.choice((0, 1e9, "4Gi", "500m", 1e30))))
    return estimate


def largest() -> Iterator[tuple[str, Json]]:
    """Give documents that have as much of one thing as there may be, with the rest about it."""
    for seed in range(6):
        yield f"everything, {seed}", experiment(Random(seed), LARGEST)
    flag: Json = {"type": "categorical", "choices": ["a", "b"]}
    chain = {
        f"p{at}": {**flag, "when": {f"p{above}": ["a"] for above in range(max(0, at - 10), at)}}
        for at in range(100)
    }
    switches = {f"s{at}": flag for at in range(50)} | {
        f"t{at}": {**flag, "when": {f"s{(at + by) % 50}": ["a"] for by in range(10)}}
        for at in range(50)
    }
    wide = {
        f"p{at}": {"type": "categorical", "choices": [f"c{number}" for number in range(1000)]}
        for at in range(89)
    }
    listed = {
        f"p{at}": {
            "type": "categorical",
            "choices": [f"c{number}" for number in range(100)],
            **({"when": {"p0": [f"c{number}" for number in range(100)]}} if at else {}),
        }
        for at in range(100)
    }
    searches = {"a deep chain": chain, "switches": switches, "wide": wide, "listed": listed}
    for name, parameters in searches.items():
        for algorithm in ("grid", "tpe"):
            yield f"{name}, {algorithm}", _searching(parameters, {"name": algorithm})
    points = [{f"p{at}": "c999" for at in range(89)} for _ in range(100)]
    yield "points at the last choice", _searching(wide, {"name": "tpe"}, points)
    beside = [{f"p{at}": "c1000" for at in range(89)} for _ in range(100)]
    yield "points beside all choices", _searching(wide, {"name": "tpe"}, beside)
    at_the_end = [{f"p{at}": "c99" for at in range(100)} for _ in range(100)]
    yield "points under conditions", _searching(listed, {"name": "tpe"}, at_the_end)
    yield from _largest_of_the_built_in()


def _searching(parameters: Json, algorithm: Json, points: list[Json] | None = None) -> Json:
    return document(
        {
            "objective": {"metric": "loss", "direction": "minimize"},
            "search": {
                "parameters": parameters,
                "algorithm": algorithm,
                "warmStart": {"points": points or []},
            },
            "trainer": {"container": {"image": "me/train"}},
        }
    )


def _largest_of_the_built_in() -> Iterator[tuple[str, Json]]:
    """Search as much of the built-in trainer as its fields allow, at values that hardly fit."""
    base: Json = {
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "trainer": {
            "builtIn": {
                "task": "language-modelling",
                "dataset": {"name": "text", "path": "a.txt"},
                "model": {"name": "transformer", "width": 64, "heads": 4},
            }
        },
    }
    many = {"type": "categorical", "choices": list(range(2, 1002))}
    heads = {"type": "categorical", "choices": list(range(1, 257))}
    rates = {"type": "categorical", "choices": [1e-6 * (at + 1) for at in range(1000)]}
    layers = {"type": "categorical", "choices": list(range(1, 65))}
    sized = {"model.heads": heads, "model.layers": layers}
    further_fields = {
        "batch_size": many, "epochs": many, "model.context": many, "model.dropout": rates,
        "optimizer.learning_rate": rates, "optimizer.weight_decay": rates,
    }  # fmt: skip
    when_sgd = {
        name: {**parameter, "when": {"optimizer.name": ["sgd"]}}
        for name, parameter in further_fields.items()
    }
    optimizers = {"type": "categorical", "choices": ["sgd", "adam", "adamw"]}
    # Widths whose heads are found after a while, and widths that have hardly any.
    ladders = {"multiples of 7": range(7, 707, 7), "odd widths": range(257, 457, 2)}
    for name, parameters in (
        ("beyond what a field takes", {"model.heads": many}),
        ("heads", {"model.heads": heads}),
        ("heads and layers", sized),
        ("most fields", {**sized, **further_fields}),
        ("most fields under conditions", {**sized, **when_sgd, "optimizer.name": optimizers}),
    ):
        for words, widths in ladders.items():
            spec = {**copy.deepcopy(base), "search": {"parameters": parameters}}
            spec["scaling"] = {"parameter": "model.width", "sizes": list(widths)}
            yield f"built-in, {name}, {words}", document(spec)


def broken(random: Random, whole: Json) -> Json:
    """Put something else, nothing, or something more at a few places of the spec."""
    changed = copy.deepcopy(whole)
    for _ in range(random.randint(1, 4)):
        _break(random, changed["spec"])
    return changed


def _break(random: Random, section: Any) -> None:
    at: Any = section
    while at:
        key: Any = random.choice(list(at) if isinstance(at, dict) else range(len(at)))  # pyright: ignore[reportUnknownArgumentType]
        if not isinstance(at[key], dict | list) or random.random() < 0.2:
            at[key] = random.choice(ODD)
            return
        at = cast("Any", at[key])


ODD: Scalars = [
    None, "", "x" * 5000, -1, 0, 2**63, 1e308, True, [], {}, [[]], {"a": None}, ["a"] * 2000,
    {f"k{at}": at for at in range(500)}, "\x00", "../x", float("nan"), float("inf"), 10**400,
    {"name": "grid"}, {"type": "float"}, {"when": {}}, "1.0 +", "parameters['nope']",
]  # fmt: skip
