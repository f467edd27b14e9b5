"""Every kind of fault, the path at which it is reported, and what the report says is allowed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from scaling_operator.api.experiment import ExperimentSpec
from scaling_operator.api.problems import Problem
from scaling_operator.validation.checks import check_document
from scaling_operator.validation.draft import DraftSpec

Change = tuple[str, Any]
SEARCH = "spec.search.parameters"
MLP = {"task": "classification", "dataset": {"name": "digits"}, "model": {"name": "mlp"}}
TEXT = {
    "task": "language-modelling",
    "dataset": {"name": "synthetic-text"},
    "model": {"name": "transformer", "width": 64},
}
FLOAT = {"type": "float", "low": 0.1, "high": 0.5}
DELETE = object()


def valid() -> dict[str, Any]:
    return {
        "apiVersion": "scaling-operator.dev/v1alpha1",
        "kind": "ScalingExperiment",
        "metadata": {"name": "case-study"},
        "spec": {
            "objective": {"metric": "val_loss", "direction": "minimize"},
            "search": {
                "parameters": {
                    "optimizer.learning_rate": {
                        "type": "float",
                        "low": 1e-4,
                        "high": 1,
                        "log": True,
                    },
                    "model.activation": {"type": "categorical", "choices": ["relu", "gelu"]},
                    "model.dropout": {
                        "type": "float",
                        "low": 0,
                        "high": 0.5,
                        "when": {"model.activation": ["gelu"]},
                    },
                },
            },
            "scaling": {"parameter": "model.width", "sizes": [16, 32, 64]},
            "trials": {"max": 40, "parallel": 4, "timeout": "1h"},
            "resources": {"fixed": {"cpu": 2, "memory": "4Gi"}},
            "trainer": {"builtIn": copy.deepcopy(MLP)},
        },
    }


def changed(*changes: Change) -> dict[str, Any]:
    """Set values in the valid document; a path has `/` between its steps."""
    document = valid()
    for path, value in changes:
        *steps, last = path.split("/")
        at: Any = document
        for step in steps:
            at = at.setdefault(step, {})
        if value is DELETE:
            del at[last]
        else:
            at[last] = value
    return document


def search(name: str, parameter: Any) -> Change:
    return f"spec/search/parameters/{name}", parameter


def trainer(**built_in: Any) -> Change:
    return "spec/trainer", {"builtIn": built_in}


def container(**fields: Any) -> tuple[Change, ...]:
    return (
        ("spec/trainer", {"container": {"image": "me/train", **fields}}),
        ("spec/search/parameters", {"lr": FLOAT}),
        ("spec/scaling", DELETE),
    )


KEY = {"name": "s", "key": "k"}
SWITCH = {"type": "categorical", "choices": ["a", "b"]}
SHM = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}
AFFINITY = "requiredDuringSchedulingIgnoredDuringExecution"
TERM = f"spec.trainer.pod.affinity.nodeAffinity.{AFFINITY}.nodeSelectorTerms[0]"


def variable(source: Any) -> Any:
    return {"name": "A", "valueFrom": source}


def pod(**fields: Any) -> Change:
    return "spec/trainer/pod", fields


def nodes(**requirement: Any) -> Change:
    terms = [{"matchExpressions": [{"key": "gpu", **requirement}]}]
    return pod(affinity={"nodeAffinity": {AFFINITY: {"nodeSelectorTerms": terms}}})


def test_a_valid_document_has_no_problems() -> None:
    assert check_document(valid()) == ()


Row = tuple[str, tuple[Change, ...], str, str]
FIELDS: tuple[Row, ...] = (
    (
        "unknown section with the nearest name",
        (("spec/serch", {}),),
        "spec.serch",
        "unknown field; did you mean search?",
    ),
    (
        "unknown field far down, in the trainer",
        (("spec/trainer/builtIn/dataset/sed", 1),),
        "spec.trainer.builtIn.dataset.sed",
        "unknown field; did you mean seed?",
    ),
    (
        "unknown field of a parameter",
        (search("optimizer.learning_rate", {**FLOAT, "hihg": 2}),),
        f"{SEARCH}.optimizer.learning_rate.hihg",
        "unknown field; did you mean high?",
    ),
    (
        "unknown field near nothing lists what there is",
        (("spec/budget", {"zzz": 1}),),
        "spec.budget.zzz",
        "unknown field; allowed here: duration, gpuHours, cost, onExceeded",
    ),
    (
        "snake_case is not the file's spelling",
        (("spec/trials/max_failed", 3),),
        "spec.trials.max_failed",
        "unknown field; did you mean maxFailed?",
    ),
    (
        "field of another variant",
        (("spec/search/algorithm", {"name": "tpe", "populationSize": 7}),),
        "spec.search.algorithm.populationSize",
        "unknown field with name tpe; it goes with genetic",
    ),
    (
        "unknown variant",
        (("spec/search/algorithm", {"name": "tpee"}),),
        "spec.search.algorithm.name",
        "'tpee' is not allowed; did you mean tpe? allowed: random, grid, tpe, gp, genetic",
    ),
    (
        "a field beside one that is called like its variant",
        (("spec/search/pruner", {"name": "percentile", "percentile": 50, "warmupStep": 1}),),
        "spec.search.pruner.warmupStep",
        "unknown field; did you mean warmupSteps?",
    ),
    (
        "a value beside a field that is called like its variant",
        (("spec/search/pruner", {"name": "percentile", "percentile": 50, "warmupSteps": -1}),),
        "spec.search.pruner.warmupSteps",
        "must be at least 0, not -1",
    ),
    (
        "a duration that is a long list",
        (("spec/trials/timeout", ["a"] * 2000),),
        "spec.trials.timeout",
        "a list is not a duration: write for example 90s, 10m or 1h30m",
    ),
    (
        "a blank name of a field",
        (("spec/ ", 1),),
        "spec.' '",
        "unknown field; ",
    ),
    (
        "variant not named",
        (("spec/search/pruner", {"minSteps": 3}),),
        "spec.search.pruner.name",
        "is required; allowed: none, median, percentile, patient, asha, hyperband",
    ),
    (
        "required field",
        (("spec/objective/metric", DELETE),),
        "spec.objective.metric",
        "is required (Name of the metric, such as val_loss)",
    ),
    ("no trainer", (("spec/trainer", DELETE),), "spec.trainer", "is required (What runs a trial)"),
    ("no spec", (("spec", DELETE),), "spec", "is required"),
    ("spec is a list", (("spec", [1]),), "spec", "must be a mapping with fields, not a list"),
    (
        "empty section",
        (("spec/search", None),),
        "spec.search",
        "must be a mapping with fields, not nothing",
    ),
    (
        "no kind",
        (("kind", DELETE),),
        "kind",
        "is required; write kind: ScalingExperiment",
    ),
    (
        "wrong version",
        (("apiVersion", "scaling-operator.dev/v1"),),
        "apiVersion",
        "did you mean scaling-operator.dev/v1alpha1? allowed: scaling-operator.dev/v1alpha1",
    ),
    (
        "upper case in the name",
        (("metadata/name", "Case"),),
        "metadata.name",
        "beginning with a letter and ending with a letter or digit",
    ),
    (
        "a name that begins with a digit",
        (("metadata/name", "1case"),),
        "metadata.name",
        "beginning with a letter",
    ),
    (
        "a name too long for names of pods",
        (("metadata/name", "a" * 51),),
        "metadata.name",
        "has 51 characters; at most 50 are allowed",
    ),
    (
        "text for a number",
        (("spec/trials/parallel", "four"),),
        "spec.trials.parallel",
        "must be a whole number, not 'four'",
    ),
    (
        "a number in quotes",
        (search("optimizer.learning_rate", {**FLOAT, "low": "1e-4"}),),
        f"{SEARCH}.optimizer.learning_rate.low",
        "must be a number, not '1e-4'",
    ),
    (
        "true is no number",
        (("spec/trials/parallel", True),),
        "spec.trials.parallel",
        "must be a whole number, not true",
    ),
    (
        "text for true or false",
        (("spec/suspend", "yes"),),
        "spec.suspend",
        "must be true or false, not 'yes'",
    ),
    (
        "below the bound",
        (("spec/trials/max", 0),),
        "spec.trials.max",
        "must be at least 1, not 0",
    ),
    (
        "a size of zero",
        (("spec/scaling/sizes", [0, 1]),),
        "spec.scaling.sizes[0]",
        "must be above 0, not 0",
    ),
    (
        "a duration without a unit",
        (("spec/trials/timeout", 60),),
        "spec.trials.timeout",
        "60 is not a duration: write for example 90s, 10m or 1h30m",
    ),
    (
        "a duration of nothing",
        (("spec/trials/timeout", "0s"),),
        "spec.trials.timeout",
        "'0s' lies outside 1ms to 100000h",
    ),
    (
        "a duration beyond every clock",
        (("spec/trials/timeout", "9" * 30 + "h"),),
        "spec.trials.timeout",
        "lies outside 1ms to 100000h",
    ),
    (
        "a quantity with a wrong unit",
        (("spec/resources/fixed/memory", "4GB"),),
        "spec.resources.fixed.memory",
        "'4GB' is not a quantity: write for example 2, 500m or 4Gi",
    ),
    (
        "a broken number for a quantity needs quotes",
        (("spec/resources/fixed/cpu", 0.5),),
        "spec.resources.fixed.cpu",
        "must be text, not 0.5",
    ),
    (
        "NaN",
        (("spec/objective/goal", float("nan")),),
        "spec.objective.goal",
        "nan is not allowed: numbers must be finite",
    ),
    (
        "infinity in a list",
        (("spec/scaling/sizes", [16, float("inf")]),),
        "spec.scaling.sizes[1]",
        "inf is not allowed: numbers must be finite",
    ),
    (
        "a whole number beyond every float",
        (("spec/objective/goal", 10**400),),
        "spec.objective.goal",
        "inf is not allowed",
    ),
    (
        "a list as a choice",
        (search("model.activation", {"type": "categorical", "choices": ["relu", ["gelu"]]}),),
        f"{SEARCH}.model.activation.choices[1]",
        "must be a number, text, true or false, not a list",
    ),
    (
        "no choices",
        (search("model.activation", {"type": "categorical", "choices": []}),),
        f"{SEARCH}.model.activation.choices",
        "has 0 entries; at least 1 must be given",
    ),
    (
        "a choice twice",
        (search("model.activation", {"type": "categorical", "choices": ["relu", "relu"]}),),
        f"{SEARCH}.model.activation.choices",
        "choices repeat a value",
    ),
    (
        "a parameter's name with a space",
        (search("learning rate", FLOAT),),
        f"{SEARCH}.learning rate",
        "the name must be one or more words joined by dots",
    ),
    (
        "low above high",
        (search("optimizer.learning_rate", {"type": "float", "low": 1, "high": 0.1}),),
        f"{SEARCH}.optimizer.learning_rate.low",
        "low 1 is above high 0.1; low must be at most high",
    ),
    (
        "log from zero",
        (search("optimizer.weight_decay", {**FLOAT, "low": 0, "log": True}),),
        f"{SEARCH}.optimizer.weight_decay.low",
        "log needs low above 0, not 0",
    ),
    (
        "log with a step",
        (search("optimizer.weight_decay", {**FLOAT, "step": 0.1, "log": True}),),
        f"{SEARCH}.optimizer.weight_decay.step",
        "step does not go with log",
    ),
    (
        "an empty ladder",
        (("spec/scaling/sizes", []),),
        "spec.scaling.sizes",
        "is empty: give at least one size, or rungs",
    ),
    (
        "a duplicate size",
        (("spec/scaling/sizes", [16, 32, 32]),),
        "spec.scaling.sizes[2]",
        "32 stands twice; each may stand once",
    ),
    (
        "descending sizes",
        (("spec/scaling/sizes", [32, 16]),),
        "spec.scaling.sizes[1]",
        "16 follows 32; they must ascend",
    ),
    (
        "rungs that set different parameters",
        (("spec/scaling", {"rungs": [{"model.width": 8}, {"model.depth": 2}]}),),
        "spec.scaling.rungs",
        "every rung must set the same parameters",
    ),
    (
        "grid without data",
        (("spec/scaling/design", "grid"),),
        "spec.scaling.data",
        "is empty: design grid needs at least one",
    ),
    (
        "too many scales",
        (
            ("spec/scaling/design", "grid"),
            ("spec/scaling/sizes", list(range(1, 52))),
            ("spec/scaling/data", [100, 200]),
        ),
        "spec.scaling.sizes",
        "102 scales in all, refined ones included; at most 100 may be",
    ),
    (
        "a target with two aims",
        (("spec/scaling/targets", [{"flops": 1e15, "loss": 0.1}]),),
        "spec.scaling.targets[0]",
        "set exactly one of flops, parameters, loss, cost, or inferenceTokens",
    ),
    (
        "a target without an aim",
        (("spec/scaling/targets", [{}]),),
        "spec.scaling.targets[0]",
        "set exactly one of flops, parameters, loss, cost, or inferenceTokens",
    ),
    (
        "tokens to serve beside a size that is given",
        (("spec/scaling/targets", [{"parameters": 1e6, "inferenceTokens": 1e9}]),),
        "spec.scaling.targets[0].inferenceTokens",
        "stands alone or beside flops or loss, not beside parameters",
    ),
    (
        "hyperband without a rung",
        (
            (
                "spec/search/pruner",
                {"name": "hyperband", "minSteps": 5, "maxSteps": 9, "reductionFactor": 3},
            ),
        ),
        "spec.search.pruner.maxSteps",
        "maxSteps 9 leaves no rung; it must be at least minSteps x reductionFactor, 15",
    ),
    (
        "two kinds of artifacts",
        (("spec/artifacts", {"emptyDir": {}, "persistentVolumeClaim": {"claimName": "x"}}),),
        "spec.artifacts",
        "set at most one of persistentVolumeClaim, emptyDir",
    ),
    (
        "two trainers",
        (("spec/trainer/container", {"image": "x"}),),
        "spec.trainer",
        "set exactly one of builtIn, container",
    ),
    (
        "a data set that does not suit the task",
        (("spec/trainer/builtIn/dataset/name", "diabetes"),),
        "spec.trainer.builtIn.dataset.name",
        "dataset diabetes does not suit classification: use one of synthetic-classification",
    ),
)
CROSS: tuple[Row, ...] = (
    (
        "preprocessing that has no meaning for the data",
        (("spec/trainer/builtIn/preprocessing", {"outliers": {"method": "iqr"}}),),
        "spec.trainer.builtIn.preprocessing.outliers",
        "outliers does not suit images: it is for tables",
    ),
    (
        "no objective",
        (("spec/objective", DELETE),),
        "spec",
        "set exactly one of objective, objectives",
    ),
    (
        "one of several objectives",
        (
            ("spec/objective", DELETE),
            ("spec/objectives", [{"metric": "val_loss", "direction": "minimize"}]),
        ),
        "spec.objectives",
        "needs two or more; for one metric use objective",
    ),
    (
        "the same objective twice",
        (
            ("spec/objective", DELETE),
            ("spec/scaling", DELETE),
            ("spec/objectives", [{"metric": "val_loss", "direction": "minimize"}] * 2),
        ),
        "spec.objectives[1].metric",
        "val_loss is an objective already",
    ),
    (
        "a metric of another task",
        (("spec/objective/metric", "val_mse"),),
        "spec.objective.metric",
        "task classification gives no val_mse; ",
    ),
    (
        "a mistyped metric",
        (("spec/objective/metric", "val_acuracy"),),
        "spec.objective.metric",
        "did you mean val_accuracy?",
    ),
    (
        "a class that the data set does not have",
        (("spec/objective/metric", "val_recall_11"),),
        "spec.objective.metric",
        "task classification gives no val_recall_11",
    ),
    (
        "a path that the trainer does not have",
        (search("optimizer.learnin_rate", FLOAT),),
        f"{SEARCH}.optimizer.learnin_rate",
        "the built-in trainer has no such field; did you mean optimizer.learning_rate?",
    ),
    (
        "a path near nothing",
        (search("model.zzzzzz", FLOAT),),
        f"{SEARCH}.model.zzzzzz",
        "the built-in trainer has no such field; model has name, width, depth",
    ),
    (
        "a path of another model",
        (search("model.heads", {"type": "int", "low": 1, "high": 4}),),
        f"{SEARCH}.model.heads",
        "heads goes with model.name transformer, not with mlp",
    ),
    (
        "a path of another optimizer than the default",
        (search("optimizer.momentum", FLOAT),),
        f"{SEARCH}.optimizer.momentum",
        "momentum goes with optimizer.name momentum, not with adam",
    ),
    (
        "a section as a parameter",
        (search("optimizer.schedule", {"type": "categorical", "choices": ["cosine"]}),),
        f"{SEARCH}.optimizer.schedule",
        "is a section, not a value; name one of its fields: optimizer.schedule.name",
    ),
    (
        "a path through a value",
        (search("epochs.first", {"type": "int", "low": 1, "high": 4}),),
        f"{SEARCH}.epochs.first",
        "epochs is a value, not a section",
    ),
    (
        "a scaled path that the trainer does not have",
        (("spec/scaling/parameter", "model.widht"),),
        "spec.scaling.parameter",
        "did you mean model.width?",
    ),
    (
        "a value below what the field takes",
        (search("optimizer.learning_rate", {"type": "float", "low": -1, "high": 1}),),
        f"{SEARCH}.optimizer.learning_rate.low",
        "optimizer.learning_rate must be above 0, not -1",
    ),
    (
        "a value above what the field takes",
        (search("model.dropout", {"type": "float", "low": 0, "high": 1}),),
        f"{SEARCH}.model.dropout.high",
        "model.dropout must be below 1, not 1",
    ),
    (
        "a choice that the field does not have",
        (
            search(
                "model.activation", {"type": "categorical", "choices": ["relu", "gelu", "gellu"]}
            ),
        ),
        f"{SEARCH}.model.activation.choices[2]",
        "'gellu' is not allowed; did you mean gelu?",
    ),
    (
        "a float for a whole number",
        (search("model.depth", {"type": "float", "low": 1, "high": 4}),),
        f"{SEARCH}.model.depth.type",
        "must be a whole number, not 2.146; use type int, or categorical",
    ),
    (
        "a model that there is not",
        (search("model.name", {"type": "categorical", "choices": ["mlp", "resnet"]}),),
        f"{SEARCH}.model.name.choices[1]",
        "'resnet' is not allowed; allowed: linear, mlp, cnn, transformer",
    ),
    (
        "a size that is no whole number",
        (("spec/scaling/sizes", [16, 32.5]),),
        "spec.scaling.sizes[1]",
        "model.width must be a whole number, not 32.5",
    ),
    (
        "a rung whose value the field does not take",
        (("spec/scaling", {"rungs": [{"model.width": 8, "model.depth": 65}]}),),
        "spec.scaling.rungs[0].model.depth",
        "model.depth must be at most 64, not 65",
    ),
    (
        "heads that never divide the width",
        (
            trainer(**TEXT),
            ("spec/scaling", DELETE),
            (
                "spec/search/parameters",
                {"model.heads": {"type": "categorical", "choices": [2, 3]}},
            ),
        ),
        f"{SEARCH}.model.heads.choices[1]",
        "3 does not fit: model.heads: width 64 is not a multiple of heads 3",
    ),
    (
        "heads that never divide the width, among a thousand other choices",
        (
            trainer(**TEXT),
            ("spec/scaling", DELETE),
            (
                "spec/search/parameters",
                {
                    "model.context": {"type": "categorical", "choices": list(range(2, 1002))},
                    "batch_size": {"type": "categorical", "choices": list(range(1, 1001))},
                    "model.heads": {"type": "categorical", "choices": [2, 3]},
                },
            ),
        ),
        f"{SEARCH}.model.heads.choices[1]",
        "3 does not fit: model.heads: width 64 is not a multiple of heads 3",
    ),
    (
        "a size that the heads never divide",
        (
            trainer(**TEXT),
            ("spec/search/parameters", {}),
            ("spec/scaling/sizes", [16, 33]),
        ),
        "spec.scaling.sizes[1]",
        "does not fit: model.heads: width 33 is not a multiple of heads 2",
    ),
    (
        "a model that does not suit the task",
        (search("model.name", {"type": "categorical", "choices": ["mlp", "transformer"]}),),
        f"{SEARCH}.model.name.choices[1]",
        "'transformer' does not fit: ",
    ),
    (
        "searched and scaled",
        (search("model.width", {"type": "int", "low": 1, "high": 4}),),
        "spec.scaling.parameter",
        "model.width is searched too",
    ),
    (
        "a condition on nothing",
        (search("model.dropout", {**FLOAT, "when": {"model.activatio": ["relu"]}}),),
        f"{SEARCH}.model.dropout.when.model.activatio",
        "no such searched parameter; did you mean model.activation?",
    ),
    (
        "a condition on itself",
        (
            search(
                "model.depth", {"type": "int", "low": 1, "high": 2, "when": {"model.depth": [1]}}
            ),
        ),
        f"{SEARCH}.model.depth.when.model.depth",
        "a parameter cannot depend on itself",
    ),
    (
        "a condition on a float",
        (search("model.dropout", {**FLOAT, "when": {"optimizer.learning_rate": [0.1]}}),),
        f"{SEARCH}.model.dropout.when.optimizer.learning_rate",
        "is a float; when needs a categorical or int parameter",
    ),
    (
        "a condition on a value that never comes",
        (search("model.dropout", {**FLOAT, "when": {"model.activation": ["relu", "tanh"]}}),),
        f"{SEARCH}.model.dropout.when.model.activation[1]",
        "'tanh' is none of the choices relu, gelu",
    ),
    (
        "conditions in a circle",
        (
            search(
                "model.activation",
                {
                    "type": "categorical",
                    "choices": ["relu", "gelu"],
                    "when": {"model.depth": [1]},
                },
            ),
            search(
                "model.depth",
                {
                    "type": "int",
                    "low": 1,
                    "high": 2,
                    "when": {"model.activation": ["relu"]},
                },
            ),
        ),
        f"{SEARCH}.model.activation.when",
        "depends on itself: model.activation → model.depth → model.activation",
    ),
    (
        "two names for one variable",
        (
            *container(),
            search("a.b", FLOAT),
            search("a_b", FLOAT),
        ),
        f"{SEARCH}.a_b",
        "a_b and a.b both become SCALING_PARAM_A_B",
    ),
    (
        "a grid over a float",
        (
            ("spec/search/algorithm", {"name": "grid"}),
            search("model.dropout", {**FLOAT, "step": 0.1}),
        ),
        f"{SEARCH}.optimizer.learning_rate",
        "algorithm grid cannot count the values of a float",
    ),
    (
        "a grid too large",
        (
            ("spec/search/algorithm", {"name": "grid"}),
            (
                "spec/search/parameters",
                {
                    "epochs": {"type": "int", "low": 1, "high": 1000},
                    "threads": {"type": "int", "low": 1, "high": 101},
                },
            ),
        ),
        "spec.search.algorithm",
        "the grid has more than 100,000 points",
    ),
    (
        "a grid whose conditions hang together too much to be counted",
        (
            *container(),
            ("spec/search/algorithm", {"name": "grid"}),
            (
                "spec/search/parameters",
                {
                    **{f"c{at:02}": SWITCH for at in range(30)},
                    **{
                        f"d{at:02}": {
                            **SWITCH,
                            "when": {f"c{at:02}": ["a"], f"c{(at + 7) % 30:02}": ["b"]},
                        }
                        for at in range(30)
                    },
                },
            ),
        ),
        "spec.search.algorithm",
        "too entangled to count its points; use fewer, or another algorithm",
    ),
    (
        "gp over every whole number there is",
        (
            *container(),
            ("spec/search/algorithm", {"name": "gp"}),
            search("n", {"type": "int", "low": 1, "high": 2**31}),
        ),
        f"{SEARCH}.n",
        "algorithm gp looks at every value of ints and steps, at most 100,000 in all",
    ),
    (
        "a range between which there are hardly any numbers",
        (*container(), search("lr", {"type": "float", "low": 1.0, "high": 1.0 + 1e-12})),
        f"{SEARCH}.lr.high",
        "high is less than 1e-09 above low, which numbers hardly tell apart",
    ),
    (
        "a step finer than numbers are",
        (*container(), search("lr", {"type": "float", "low": 1e6, "high": 2e6, "step": 0.01})),
        f"{SEARCH}.lr.step",
        "step 0.01 is too fine; it must be at least 0.2",
    ),
    (
        "a step finer than a sampler's own least width",
        (*container(), search("lr", {"type": "float", "low": 0, "high": 1e-100, "step": 3e-101})),
        f"{SEARCH}.lr.step",
        "step 3e-101 is too fine; it must be at least 1e-09",
    ),
    (
        "a logarithm of next to nothing",
        (*container(), search("lr", {"type": "float", "low": 1e-200, "high": 1, "log": True})),
        f"{SEARCH}.lr.low",
        "low 1e-200 is too small; with log at least 1e-100",
    ),
    (
        "a range wider than samplers reckon with",
        (*container(), search("lr", {"type": "float", "low": 0, "high": 1e308})),
        f"{SEARCH}.lr.high",
        "must be at most 1e+100",
    ),
    (
        "whole numbers beyond what samplers tell apart",
        (*container(), search("n", {"type": "int", "low": 0, "high": 2**53})),
        f"{SEARCH}.n.high",
        "must be at most 1125899906842624",
    ),
    (
        "a pruner where a cosine is as long as a trial's own epochs",
        (
            ("spec/search/pruner", {"name": "asha"}),
            search("epochs", {"type": "int", "low": 2, "high": 9}),
            ("spec/trainer/builtIn/optimizer", {"name": "adam", "schedule": {"name": "cosine"}}),
        ),
        "spec.search.pruner.name",
        "compares trials step by step, which are other phases of a cosine where epochs is searched",
    ),
    (
        "a pruner where the schedule itself is searched",
        (
            ("spec/search/pruner", {"name": "median"}),
            search(
                "optimizer.schedule.name",
                {"type": "categorical", "choices": ["constant", "cosine"]},
            ),
        ),
        "spec.search.pruner.name",
        "compares trials step by step, but optimizer.schedule.name is searched: use none",
    ),
    (
        "a pruner with several objectives",
        (
            ("spec/objective", DELETE),
            ("spec/scaling", DELETE),
            ("spec/search/pruner", {"name": "asha"}),
            (
                "spec/objectives",
                [
                    {"metric": "val_loss", "direction": "minimize"},
                    {"metric": "val_f1", "direction": "maximize"},
                ],
            ),
        ),
        "spec.search.pruner.name",
        "a pruner needs a single objective",
    ),
    (
        "a ladder with several objectives",
        (
            ("spec/objective", DELETE),
            (
                "spec/objectives",
                [
                    {"metric": "val_loss", "direction": "minimize"},
                    {"metric": "val_f1", "direction": "maximize"},
                ],
            ),
        ),
        "spec.scaling",
        "needs a single objective",
    ),
    (
        "a point with an unknown name",
        (("spec/search/warmStart", {"points": [{"optimizer.learning_rat": 0.1}]}),),
        "spec.search.warmStart.points[0].optimizer.learning_rat",
        "no such searched parameter; did you mean optimizer.learning_rate?",
    ),
    (
        "a point out of range",
        (("spec/search/warmStart", {"points": [{"optimizer.learning_rate": 5}]}),),
        "spec.search.warmStart.points[0].optimizer.learning_rate",
        "5 lies outside 0.0001 to 1",
    ),
    (
        "a point between the steps",
        (
            search("model.depth", {"type": "int", "low": 1, "high": 9, "step": 2}),
            ("spec/search/warmStart", {"points": [{"model.depth": 3}, {"model.depth": 4}]}),
        ),
        "spec.search.warmStart.points[1].model.depth",
        "4 is not low 1 plus steps of 2",
    ),
    (
        "a point inside a condition that it does not set",
        (("spec/search/warmStart", {"points": [{"model.dropout": 0.1}]}),),
        "spec.search.warmStart.points[0].model.dropout",
        "is active under a condition: set model.activation in the point too",
    ),
    (
        "a point that sets the scale",
        (("spec/search/warmStart", {"points": [{"model.width": 16}]}),),
        "spec.search.warmStart.points[0].model.width",
        "is set by scaling; leave it out",
    ),
    (
        "isoflop with a container",
        (
            *container(),
            (
                "spec/scaling",
                {
                    "parameter": "width",
                    "sizes": [1],
                    "design": "isoflop",
                    "budgets": [1e9],
                },
            ),
        ),
        "spec.scaling.design",
        "isoflop needs the FLOPs per sample, which are not known for a container: use trainer",
    ),
    (
        "isoflop with a file",
        (
            trainer(**{**MLP, "dataset": {"name": "csv", "path": "a.csv", "target": "y"}}),
            ("spec/scaling/design", "isoflop"),
            ("spec/scaling/budgets", [1e9]),
        ),
        "spec.scaling.design",
        "which dataset csv tells only when it is read: use a synthetic or bundled",
    ),
    (
        "a budget that pays for no batch",
        (("spec/scaling/design", "isoflop"), ("spec/scaling/budgets", [10, 1e12])),
        "spec.scaling.budgets[0]",
        "10 FLOPs do not pay for one batch of 32 of the largest size; it must be at least",
    ),
    (
        "data that fill no batch",
        (("spec/scaling/design", "grid"), ("spec/scaling/data", [5, 500])),
        "spec.scaling.data[0]",
        "5 is less than one batch of 32; it must be at least that",
    ),
    (
        "a container of nothing",
        (*container(), ("spec/trainer", {"container": {"args": ["x"]}})),
        "spec.trainer.container",
        "set image (for a cluster), command (for a local run), or both",
    ),
    (
        "a variable of the contract",
        container(env=[{"name": "SCALING_SEED", "value": "1"}]),
        "spec.trainer.container.env[0].name",
        "SCALING_SEED belongs to the contract",
    ),
    (
        "a variable of two values",
        container(env=[{"name": "A", "value": "1", "valueFrom": {"secretKeyRef": KEY}}]),
        "spec.trainer.container.env[0]",
        "set at most one of value, valueFrom",
    ),
    (
        "a variable of two sources",
        container(env=[variable({"secretKeyRef": KEY, "configMapKeyRef": KEY})]),
        "spec.trainer.container.env[0].valueFrom",
        "set exactly one of secretKeyRef, configMapKeyRef",
    ),
    (
        "a key with a slash",
        container(env=[variable({"secretKeyRef": {**KEY, "key": "a/b"}})]),
        "spec.trainer.container.env[0].valueFrom.secretKeyRef.key",
        "must be a key of a ConfigMap or Secret",
    ),
    (
        "a volume without a source",
        container(volumes=[{"name": "v"}]),
        "spec.trainer.container.volumes[0]",
        "set exactly one of persistentVolumeClaim, emptyDir, configMap, secret",
    ),
    (
        "a volume of two sources",
        container(volumes=[{**SHM, "secret": {"secretName": "s"}}]),
        "spec.trainer.container.volumes[0]",
        "set exactly one of persistentVolumeClaim",
    ),
    (
        "a volume twice",
        container(volumes=[SHM, SHM]),
        "spec.trainer.container.volumes[1].name",
        "shm stands twice",
    ),
    (
        "a volume with a name of the operator's",
        container(volumes=[{**SHM, "name": "scaling-shm"}]),
        "spec.trainer.container.volumes[0].name",
        "begin with scaling- belong to the operator",
    ),
    (
        "a mount of no volume says what there is",
        container(volumes=[SHM], volumeMounts=[{"name": "smh", "mountPath": "/dev/shm"}]),
        "spec.trainer.container.volumeMounts[0].name",
        "there is no volume smh; did you mean shm?",
    ),
    (
        "a relative place for a volume",
        container(volumes=[SHM], volumeMounts=[{"name": "shm", "mountPath": "shm"}]),
        "spec.trainer.container.volumeMounts[0].mountPath",
        "must be an absolute path below /, without a colon",
    ),
    (
        "two volumes in one place",
        container(volumes=[SHM], volumeMounts=[{"name": "shm", "mountPath": "/a"}] * 2),
        "spec.trainer.container.volumeMounts[1].mountPath",
        "/a stands twice",
    ),
    (
        "a volume over the artifacts",
        container(volumes=[SHM], volumeMounts=[{"name": "shm", "mountPath": "/artifacts/a"}]),
        "spec.trainer.container.volumeMounts[0].mountPath",
        "the operator mounts its own at /artifacts",
    ),
    *(
        (
            f"a place for a volume with {oddity}",
            container(volumes=[SHM], volumeMounts=[{"name": "shm", "mountPath": path}]),
            "spec.trainer.container.volumeMounts[0].mountPath",
            "must be an absolute path below /, without a colon, empty parts, . and ..",
        )
        for oddity, path in (
            ("two slashes before the artifacts", "//artifacts"),
            ("two slashes within", "/var//run/secrets/scaling-operator"),
            ("a way up to the artifacts", "/x/../artifacts"),
            ("a way up at its end", "/artifacts/x/.."),
            ("a point before the artifacts", "/./artifacts"),
            ("a point at its end", "/dev/termination-log/."),
            ("a slash at its end", "/artifacts/"),
            ("nothing but slashes", "//"),
        )
    ),
    (
        "a path that leaves its volume",
        container(
            volumes=[SHM],
            volumeMounts=[{"name": "shm", "mountPath": "/a", "subPath": "b/../../c"}],
        ),
        "spec.trainer.container.volumeMounts[0].subPath",
        "must be a relative path without ..",
    ),
    (
        "root",
        (pod(securityContext={"runAsUser": 0}),),
        "spec.trainer.pod.securityContext.runAsUser",
        "must be at least 1, not 0",
    ),
    (
        "a toleration of everything that asks for a value",
        (pod(tolerations=[{"operator": "Exists", "key": "a", "value": "b"}]),),
        "spec.trainer.pod.tolerations[0].value",
        "operator Exists takes no value",
    ),
    (
        "a toleration of nothing",
        (pod(tolerations=[{"effect": "NoSchedule"}]),),
        "spec.trainer.pod.tolerations[0].key",
        "without a key, operator must be Exists",
    ),
    (
        "a label with a space",
        (pod(nodeSelector={"gpu type": "a100"}),),
        "spec.trainer.pod.nodeSelector.gpu type",
        "the name must be a label such as gpu-type or nvidia.com/gpu.product, not 'gpu type'",
    ),
    (
        "a node that has one of no labels",
        (nodes(operator="In"),),
        f"{TERM}.matchExpressions[0].values",
        "operator In needs values",
    ),
    (
        "a node that has a label, with values",
        (nodes(operator="Exists", values=["a"]),),
        f"{TERM}.matchExpressions[0].values",
        "operator Exists takes no values",
    ),
    (
        "a node with more than words",
        (nodes(operator="Gt", values=["many"]),),
        f"{TERM}.matchExpressions[0].values",
        "operator Gt needs one whole number",
    ),
    (
        "a variable twice",
        container(env=[{"name": "A"}, {"name": "A"}]),
        "spec.trainer.container.env[1].name",
        "A stands twice",
    ),
)


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [row[1:] for row in (*FIELDS, *CROSS)],
    ids=[row[0] for row in (*FIELDS, *CROSS)],
)
def test_a_fault_is_the_only_problem_and_says_what_is_allowed(
    changes: tuple[Change, ...], path: str, message: str
) -> None:
    problems = check_document(changed(*changes))

    assert [problem.path for problem in problems] == [path]
    assert message in problems[0].message


OUT_OF_BOUNDS: tuple[Row, ...] = (
    (
        "files of the node",
        container(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        "spec.trainer.container.volumes[0].hostPath",
        "is not allowed: it would open the files of the node; use one of persistentVolumeClaim",
    ),
    (
        "a server of files",
        container(volumes=[{"name": "v", "nfs": {"server": "a", "path": "/"}}]),
        "spec.trainer.container.volumes[0].nfs",
        "is not allowed: storage comes through a claim",
    ),
    (
        "a token of the API server",
        container(volumes=[{"name": "v", "projected": {"sources": []}}]),
        "spec.trainer.container.volumes[0].projected",
        "is not allowed: it could hold a token of the API server",
    ),
    *(
        (
            f"{field} of {section}",
            (*container(), (f"spec/trainer/{section}/{field}", True)),
            f"spec.trainer.{section.replace('/', '.')}.{field}",
            "is not allowed: a trial shares nothing with its node and keeps the restricted profile",
        )
        for section, fields in (
            ("pod", ("hostNetwork", "hostPID", "hostIPC")),
            ("container", ("hostNetwork", "privileged")),
            (
                "pod/securityContext",
                ("privileged", "allowPrivilegeEscalation", "capabilities", "sysctls"),
            ),
        )
        for field in fields
    ),
    (
        "a security context of the container",
        container(securityContext={"privileged": True}),
        "spec.trainer.container.securityContext",
        "spec.trainer.pod.securityContext; the rest is the restricted profile's: not privileged",
    ),
    (
        "a node selector in the container is shown its place",
        container(nodeSelector={"a": "b"}),
        "spec.trainer.container.nodeSelector",
        "is not allowed: it says where and as whom the pod runs: write it in spec.trainer.pod.node",
    ),
    (
        "requests in the container are shown their place",
        container(resources={"limits": {"cpu": 1}}),
        "spec.trainer.container.resources",
        "the machine of a trial stands in spec.resources",
    ),
    (
        "a node by name",
        (pod(nodeName="node-1"),),
        "spec.trainer.pod.nodeName",
        "is not allowed: it would pass by the scheduler; use nodeSelector or affinity",
    ),
    (
        "pods that keep others away",
        (pod(affinity={"podAntiAffinity": {}}),),
        "spec.trainer.pod.affinity.podAntiAffinity",
        "use nodeAffinity",
    ),
    (
        "a second container",
        (pod(initContainers=[]),),
        "spec.trainer.pod.initContainers",
        "a trial is one container",
    ),
    (
        "a profile of one's own",
        (pod(securityContext={"seccompProfile": {"type": "Unconfined"}}),),
        "spec.trainer.pod.securityContext.seccompProfile",
        "the restricted profile sets it; allowed here: runAsUser, runAsGroup, fsGroup",
    ),
)


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [row[1:] for row in OUT_OF_BOUNDS],
    ids=[row[0] for row in OUT_OF_BOUNDS],
)
def test_a_field_that_a_restricted_pod_may_not_have_is_refused_with_the_reason(
    changes: tuple[Change, ...], path: str, message: str
) -> None:
    problems = check_document(changed(*changes))

    assert [problem.path for problem in problems] == [path]
    assert message in problems[0].message


ALLOWED: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("a whole float for an int", (("spec/trials/max", 40.0),)),
    ("an int for a float", (("spec/objective/goal", 1),)),
    ("unknown metadata is Kubernetes' own", (("metadata/annotations", {"a": "b"}),)),
    ("a status is not looked at", (("status", {"phase": "Running", "later": 1}),)),
    ("any metric of a container", (*container(), ("spec/objective/metric", "my_metric"))),
    ("any parameter of a container", container()),
    ("a pod of the built-in trainer", (pod(nodeSelector={"a": "b"}, serviceAccountName="c"),)),
    (
        "a variable from a Secret, without a value",
        container(env=[{"name": "A", "value": "", "valueFrom": {"secretKeyRef": KEY}}]),
    ),
    (
        "one volume in two places",
        container(
            volumes=[SHM],
            volumeMounts=[
                {"name": "shm", "mountPath": "/dev/shm"},
                {"name": "shm", "mountPath": "/artifacts2", "subPath": "a..b"},
                {"name": "shm", "mountPath": "/.a/..b/.../c.d/..e."},
            ],
        ),
    ),
    ("every taint", (pod(tolerations=[{"operator": "Exists"}]),)),
    ("a known class", (("spec/objective/metric", "val_recall_3"),)),
    (
        "any class of a file",
        (
            trainer(**{**MLP, "dataset": {"name": "csv", "path": "a.csv", "target": "y"}}),
            ("spec/objective/metric", "val_recall_anything"),
        ),
    ),
    (
        "a field of a model that is searched",
        (
            search("model.name", {"type": "categorical", "choices": ["mlp", "cnn"]}),
            search("model.depth", {"type": "int", "low": 1, "high": 6}),
        ),
    ),
    (
        "a field of one model only, under its condition",
        (
            ("spec/scaling", DELETE),
            (
                "spec/search/parameters",
                {
                    "model.name": {"type": "categorical", "choices": ["linear", "mlp"]},
                    "model.width": {
                        "type": "int",
                        "low": 1,
                        "high": 6,
                        "when": {"model.name": ["mlp"]},
                    },
                },
            ),
        ),
    ),
    (
        "a field of an optimizer that is searched",
        (
            search("optimizer.name", {"type": "categorical", "choices": ["sgd", "momentum"]}),
            search("optimizer.momentum", {**FLOAT, "when": {"optimizer.name": ["momentum"]}}),
        ),
    ),
    (
        "a field of a section that is not set",
        (search("early_stopping.patience", {"type": "int", "low": 1, "high": 6}),),
    ),
    (
        "heads that divide the width of some trial",
        (
            trainer(**TEXT),
            ("spec/scaling", DELETE),
            (
                "spec/search/parameters",
                {
                    "model.heads": {"type": "categorical", "choices": [2, 3]},
                    "model.width": {"type": "categorical", "choices": [64, 96]},
                },
            ),
        ),
    ),
    (
        "heads that divide a width which one value among many conditions makes active",
        (
            ("spec/scaling", DELETE),
            trainer(**{**TEXT, "model": {"name": "transformer"}}),
            (
                "spec/search/parameters",
                {
                    "model.layers": {"type": "categorical", "choices": list(range(1, 101))},
                    "model.context": {"type": "categorical", "choices": list(range(2, 102))},
                    "model.width": {
                        "type": "int",
                        "low": 96,
                        "high": 128,
                        "when": {"model.layers": [7]},
                    },
                    "model.heads": {"type": "categorical", "choices": [2, 3]},
                },
            ),
        ),
    ),
    (
        "rungs of several parameters",
        (("spec/scaling", {"rungs": [{"model.width": 8, "model.depth": 1}]}),),
    ),
    (
        "isoflop with data of known shape",
        (("spec/scaling/design", "isoflop"), ("spec/scaling/budgets", [1e9, 1e10])),
    ),
    (
        "a grid over steps",
        (
            ("spec/search/algorithm", {"name": "grid"}),
            ("spec/search/parameters", {"model.dropout": {**FLOAT, "step": 0.1}}),
        ),
    ),
    (
        "a long chain of conditions on the two parameters before",
        (
            *container(),
            ("spec/search/algorithm", {"name": "grid"}),
            (
                "spec/search/parameters",
                {
                    f"p{at:02}": {**SWITCH, "when": {f"p{above:02}": ["a"] for above in range(at)}}
                    for at in range(10)
                },
            ),
        ),
    ),
    (
        "a partial point",
        (("spec/search/warmStart", {"points": [{"model.activation": "gelu"}]}),),
    ),
    ("quantities as whole numbers", (("spec/resources/fixed", {"cpu": 2, "memory": 10**9}),)),
)


@pytest.mark.parametrize("changes", [row[1] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_what_is_meant_to_work_has_no_problems(changes: tuple[Change, ...]) -> None:
    assert check_document(changed(*changes)) == ()


def test_a_fault_in_every_section_is_found_at_once() -> None:
    problems = check_document(
        changed(
            ("metadata/name", "A"),
            ("spec/objective/direction", "down"),
            ("spec/objective/metric", "val_los"),
            search("optimizer.learnin_rate", FLOAT),
            search("model.depth", {"type": "int", "low": 5, "high": 1}),
            ("spec/search/algorithm", {"name": "grit"}),
            ("spec/search/pruner", {"name": "asha", "minSteps": 0}),
            ("spec/search/warmStart", {"topK": 0, "points": [{"x": 1}]}),
            ("spec/scaling/sizes", [16, 16, -1]),
            ("spec/trials/max", 0),
            ("spec/budget", {"duration": "long"}),
            ("spec/resources/fixed/gpus", -1),
            ("spec/trainer/builtIn/epochs", 0),
            ("spec/trainer/builtIn/model/name", "transformer"),
            ("spec/artifacts", {"emptyDir": 1}),
        )
    )

    assert [problem.path for problem in problems] == [
        "metadata.name",
        "spec.objective.metric",
        "spec.objective.direction",
        f"{SEARCH}.model.activation",
        f"{SEARCH}.optimizer.learnin_rate",
        f"{SEARCH}.model.depth",
        f"{SEARCH}.model.depth.low",
        "spec.search.algorithm.name",
        "spec.search.pruner.minSteps",
        "spec.search.warmStart.topK",
        "spec.search.warmStart.points[0].x",
        "spec.scaling.sizes[1]",
        "spec.scaling.sizes[2]",
        "spec.trials.max",
        "spec.resources.fixed.gpus",
        "spec.trainer.builtIn.model.name",
        "spec.trainer.builtIn.epochs",
        "spec.budget.duration",
        "spec.artifacts.emptyDir",
    ]


def test_problems_stand_in_the_order_of_the_file() -> None:
    document = changed(("spec/trials/max", 0), ("spec/objective/goal", "x"), ("metadata/name", "A"))
    reordered = {"spec": document.pop("spec"), **document}

    assert [problem.path for problem in check_document(reordered)] == [
        "spec.objective.goal",
        "spec.trials.max",
        "metadata.name",
    ]


@pytest.mark.parametrize("index", [0, 1, 2], ids=["first", "middle", "last"])
def test_indexes_are_those_of_the_file_after_other_items_were_refused(index: int) -> None:
    targets: list[Any] = [{"loss": -1}, {"loss": -1}, {"loss": -1}]
    targets[index] = {"loss": 1, "cost": 1}
    paths = {problem.path for problem in check_document(changed(("spec/scaling/targets", targets)))}

    of_others = {f"spec.scaling.targets[{at}].loss" for at in range(3) if at != index}
    assert paths == of_others | {f"spec.scaling.targets[{index}]"}


def _words(problems: tuple[Problem, ...]) -> Iterator[str]:
    for problem in problems:
        yield from (problem.path, problem.message)


def test_a_draft_has_the_fields_of_the_spec() -> None:
    assert DraftSpec.model_fields.keys() == ExperimentSpec.model_fields.keys()


def test_values_in_messages_are_short() -> None:
    problems = check_document(changed(("spec/suspend", "x" * 10_000)))

    assert max(map(len, _words(problems))) < 120
