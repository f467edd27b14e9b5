"""Documents that files and API servers refuse, and what an API server says of each.

One table: `validation/test_rules.py` asks the rules in CEL without a server, and the operator's own
reading; `tests/cluster/test_crd_refusals.py` asks a real API server. Only rules that a schema and
CEL can tell are here; the operator looks at the rest and answers with Accepted=False.
"""

from __future__ import annotations

from typing import Any

from testbed.documents import API_VERSION, DELETE, Change

PARAMETERS = "spec.search.parameters"
OBJECTIVES = [
    {"metric": "val_loss", "direction": "minimize"},
    {"metric": "val_accuracy", "direction": "maximize"},
]
Row = tuple[str, tuple[Change, ...], str, str]


def search(parameter: object) -> Change:
    return "spec/search/parameters/optimizer.learning_rate", parameter


def number(**fields: object) -> Change:
    return search({"type": "float", "low": 0.1, "high": 1, **fields})


def scaling(**fields: object) -> Change:
    return "spec/scaling", {"parameter": "model.width", "sizes": [16, 32], **fields}


def container(**fields: object) -> tuple[Change, ...]:
    return ("spec/trainer", {"container": fields}), ("spec/scaling", DELETE)


def volume(source: dict[str, object], **mount: object) -> tuple[Change, ...]:
    mounted = {"name": "v", "mountPath": "/v", **mount}
    return container(image="me/train", volumes=[{"name": "v", **source}], volumeMounts=[mounted])


def pod(**fields: object) -> tuple[Change, ...]:
    return (("spec/trainer/pod", fields),)


def nodes(**requirement: object) -> tuple[Change, ...]:
    terms = [{"matchExpressions": [{"key": "gpu", **requirement}]}]
    needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return pod(affinity={"nodeAffinity": needed})


def built_in(
    task: str, dataset: str | dict[str, object], model: str, **fields: object
) -> tuple[Change, ...]:
    """Write the built-in trainer without anything that is searched or scaled."""
    data = {"name": dataset} if isinstance(dataset, str) else dataset
    sections = {"dataset": data, "model": {"name": model}, **fields}
    trainer: Change = ("spec/trainer", {"builtIn": {"task": task, **sections}})
    return trainer, ("spec/search", {}), ("spec/scaling", DELETE)


EMPTY: dict[str, object] = {"emptyDir": {}}
KEY = {"name": "s", "key": "k"}
ROWS: tuple[Row, ...] = (
    # sentence, changes, path of the field, words of the message
    ("low above high", (number(low=2),), f"{PARAMETERS}[optimizer.learning_rate].low", "at most"),
    ("log from 0", (number(low=0, log=True),), "learning_rate].low", "log needs low above 0"),
    ("step beside log", (number(step=0.1, log=True),), "learning_rate].step", "does not go with"),
    ("a step wider than the range", (number(step=5),), "learning_rate].step", "exceeds the range"),
    ("a range without its end", (search({"type": "float", "low": 1}),), "high", "required"),
    (
        "choices of a number",
        (search({"type": "int", "low": 1, "high": 2, "choices": [1]}),),
        f"{PARAMETERS}.optimizer.learning_rate.type",
        "",
    ),
    (
        "a categorical without choices",
        (search({"type": "categorical"}),),
        "learning_rate.choices",
        "Required value",
    ),
    ("text for a bound", (number(low="small"),), "learning_rate.low", "must be of type number"),
    ("a type that is none", (search({"type": "real"}),), "learning_rate.type", "Unsupported"),
    (
        "half an integer",
        (search({"type": "int", "low": 1.5, "high": 4}),),
        "learning_rate].low",
        "whole number",
    ),
    (
        "a parameter with a dash in its name",
        (("spec/search/parameters/a-b", {"type": "float", "low": 0, "high": 1}),),
        PARAMETERS,
        "a name is one or more words",
    ),
    ("a ladder without sizes", (scaling(sizes=[]),), "spec.scaling", "sizes"),
    ("sizes out of order", (scaling(sizes=[32, 16]),), "spec.scaling.sizes", "must ascend"),
    ("a size twice", (scaling(sizes=[16, 16]),), "spec.scaling.sizes", "may stand once"),
    ("design grid without data", (scaling(design="grid"),), "spec.scaling.data", "go together"),
    (
        "rungs beside sizes",
        (scaling(rungs=[{"model.width": 8}]),),
        "spec.scaling",
        "set parameter and sizes, or rungs",
    ),
    (
        "a searched size",
        (scaling(parameter="optimizer.learning_rate"),),
        "spec.scaling.parameter",
        "may not be searched too",
    ),
    (
        "a target of two kinds",
        (scaling(targets=[{"flops": 1, "loss": 1}]),),
        "spec.scaling.targets[0]",
        "set exactly one of",
    ),
    (
        "objective and objectives",
        (("spec/objectives", OBJECTIVES), ("spec/scaling", DELETE)),
        "spec.objective",
        "set exactly one of objective, objectives",
    ),
    ("no objective", (("spec/objective", DELETE),), "spec.objective", "set exactly one"),
    (
        "a single one of several objectives",
        (("spec/objective", DELETE), ("spec/objectives", OBJECTIVES[:1]), ("spec/scaling", DELETE)),
        "spec.objectives",
        "needs two or more",
    ),
    (
        "a pruner with several objectives",
        (
            ("spec/objective", DELETE),
            ("spec/objectives", OBJECTIVES),
            ("spec/scaling", DELETE),
            ("spec/search/pruner", {"name": "median"}),
        ),
        "spec.search.pruner",
        "a pruner needs a single objective",
    ),
    (
        "a ladder with several objectives",
        (("spec/objective", DELETE), ("spec/objectives", OBJECTIVES)),
        "spec.scaling",
        "a ladder needs a single objective",
    ),
    ("no name of a metric", (("spec/objective/metric", "val;loss"),), "objective.metric", "match"),
    ("a direction that is none", (("spec/objective/direction", "up"),), "direction", "Unsupported"),
    ("an unknown field", (("spec/serch", {}),), "spec.serch", "unknown field"),
    (
        "an unknown field of the trainer",
        (("spec/trainer/builtIn/dataset/sed", 1),),
        "spec.trainer.builtIn.dataset.sed",
        "unknown field",
    ),
    ("a name that is too long", (("metadata/name", "a" * 51),), "metadata.name", "50"),
    ("a name that begins with a digit", (("metadata/name", "1a"),), "metadata.name", "match"),
    (
        "hyperband without room",
        (("spec/search/pruner", {"name": "hyperband", "minSteps": 5, "maxSteps": 10}),),
        "spec.search.pruner.maxSteps",
        "leaves no rung",
    ),
    (
        "hyperband without its end",
        (("spec/search/pruner", {"name": "hyperband"}),),
        "spec.search.pruner.maxSteps",
        "required with name hyperband",
    ),
    (
        "an algorithm that is none",
        (("spec/search/algorithm/name", "cmaes"),),
        "spec.search.algorithm.name",
        "Unsupported value",
    ),
    (
        "a field of another algorithm",
        (("spec/search/algorithm", {"name": "random", "populationSize": 9}),),
        "spec.search.algorithm.populationSize",
        "goes with name genetic only",
    ),
    (
        "a grid over a float without step",
        (("spec/search/algorithm", {"name": "grid"}), number()),
        PARAMETERS,
        "give it a step",
    ),
    ("no trial at once", (("spec/trials/parallel", 0),), "spec.trials.parallel", "greater than"),
    ("no trial at all", (("spec/trials/max", 0),), "spec.trials.max", "greater than"),
    ("words for a duration", (("spec/trials/timeout", "soon"),), "spec.trials.timeout", "match"),
    ("a duration of none", (("spec/trials/timeout", "0s"),), "spec.trials.timeout", "between"),
    ("a budget below 0", (("spec/budget", {"cost": -1}),), "spec.budget.cost", "greater than"),
    (
        "an order that is none",
        (("spec/budget", {"cost": 1, "onExceeded": "cry"}),),
        "spec.budget.onExceeded",
        "Unsupported value",
    ),
    (
        "words for memory",
        (("spec/resources", {"fixed": {"memory": "much"}}),),
        "spec.resources.fixed.memory",
        "",
    ),
    (
        "two trainers",
        (("spec/trainer/container", {"image": "me/train"}),),
        "spec.trainer",
        "set exactly one of builtIn, container",
    ),
    ("no trainer", (("spec/trainer", {}),), "spec.trainer", "set exactly one"),
    ("a container of nothing", container(args=["x"]), "spec.trainer.container.image", "set image"),
    (
        "a variable of the contract",
        container(image="me/train", env=[{"name": "SCALING_SEED", "value": "1"}]),
        "spec.trainer.container.env[0].name",
        "belong to the contract",
    ),
    (
        "a variable of two values",
        container(
            image="a",
            env=[{"name": "A", "value": "1", "valueFrom": {"configMapKeyRef": KEY}}],
        ),
        "spec.trainer.container.env[0].value",
        "set at most one of value, valueFrom",
    ),
    (
        "a variable of two sources",
        container(
            image="a",
            env=[{"name": "A", "valueFrom": {"configMapKeyRef": KEY, "secretKeyRef": KEY}}],
        ),
        "spec.trainer.container.env[0].valueFrom",
        "set exactly one of secretKeyRef, configMapKeyRef",
    ),
    ("a volume of nothing", volume({}), "container.volumes[0]", "set exactly one of"),
    (
        "a volume of two sources",
        volume({**EMPTY, "secret": {"secretName": "s"}}),
        "spec.trainer.container.volumes[0]",
        "set exactly one of persistentVolumeClaim, emptyDir, configMap, secret",
    ),
    (
        "files of the node",
        volume({"hostPath": {"path": "/"}}),
        "spec.trainer.container.volumes[0].hostPath",
        "unknown field",
    ),
    ("a mount of no volume", volume(EMPTY, name="w"), "container.volumeMounts", "must name one of"),
    ("a relative mount", volume(EMPTY, mountPath="v"), "volumeMounts[0].mountPath", "should match"),
    (
        "a volume over the artifacts",
        volume(EMPTY, mountPath="/artifacts/a"),
        "spec.trainer.container.volumeMounts[0].mountPath",
        "the operator mounts its own at /artifacts",
    ),
    *(
        (f"a mount at {path}", volume(EMPTY, mountPath=path), "volumeMounts[0].mountPath", "match")
        for path in ("//artifacts", "/x/../artifacts", "/./artifacts", "/artifacts/", "/a/..", "//")
    ),
    (
        "a path that leaves its volume",
        volume(EMPTY, subPath="a/../../b"),
        "spec.trainer.container.volumeMounts[0].subPath",
        "must be a relative path without ..",
    ),
    (
        "two volumes of a name",
        container(image="a", volumes=[{"name": "v", **EMPTY}, {"name": "v", **EMPTY}]),
        "spec.trainer.container.volumes",
        "each name of volumes may stand once",
    ),
    (
        "two volumes in a place",
        container(
            image="a",
            volumes=[{"name": "v", **EMPTY}],
            volumeMounts=[{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}],
        ),
        "spec.trainer.container.volumeMounts",
        "each mountPath may stand once",
    ),
    (
        "a volume with a name of the operator's",
        container(image="a", volumes=[{"name": "scaling-tmp", **EMPTY}]),
        "spec.trainer.container.volumes[0].name",
        "belong to the operator",
    ),
    ("the node's network", pod(hostNetwork=True), "spec.trainer.pod.hostNetwork", "unknown field"),
    (
        "a privileged pod",
        pod(securityContext={"privileged": True}),
        "spec.trainer.pod.securityContext.privileged",
        "unknown field",
    ),
    (
        "root",
        pod(securityContext={"runAsUser": 0}),
        "spec.trainer.pod.securityContext.runAsUser",
        "greater than or equal to 1",
    ),
    (
        "a toleration with too much",
        pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        "spec.trainer.pod.tolerations[0].value",
        "operator Exists takes no value",
    ),
    (
        "a toleration of nothing",
        pod(tolerations=[{"effect": "NoSchedule"}]),
        "spec.trainer.pod.tolerations[0].key",
        "operator must be Exists",
    ),
    (
        "a label with a space",
        pod(nodeSelector={"gpu type": "a"}),
        "spec.trainer.pod.nodeSelector",
        "a label is a name such as",
    ),
    ("no label to be in", nodes(operator="In"), "matchExpressions[0].values", "need values"),
    (
        "values of a label that only exists",
        nodes(operator="Exists", values=["a"]),
        "matchExpressions[0].values",
        "take no values",
    ),
    (
        "words to be above",
        nodes(operator="Gt", values=["a"]),
        "matchExpressions[0].values",
        "need one whole number",
    ),
    (
        "two places for artifacts",
        (("spec/artifacts", {"emptyDir": {}, "persistentVolumeClaim": {"claimName": "a"}}),),
        "spec.artifacts",
        "set at most one",
    ),
    (
        "a model that does not suit the task",
        (("spec/trainer/builtIn/model/name", "transformer"),),
        "spec.trainer.builtIn.model.name",
        "must be one of",
    ),
    (
        "heads that do not divide the width",
        (
            (
                "spec/trainer/builtIn",
                {
                    "task": "language-modelling",
                    "dataset": {"name": "synthetic-text"},
                    "model": {"name": "transformer", "width": 64, "heads": 5},
                },
            ),
            ("spec/scaling", DELETE),
            ("spec/search/parameters/model.activation", DELETE),
        ),
        "spec.trainer.builtIn.model.heads",
        "heads must divide the width",
    ),
    (
        "a target beside which nothing can be served",
        (scaling(targets=[{"cost": 1, "inferenceTokens": 1}]),),
        "spec.scaling.targets[0].inferenceTokens",
        "stands alone or beside flops or loss",
    ),
    (
        "a metric twice",
        (
            ("spec/objective", DELETE),
            ("spec/objectives", [OBJECTIVES[0], OBJECTIVES[0]]),
            ("spec/scaling", DELETE),
        ),
        "spec.objectives",
        "each metric may stand once",
    ),
    (
        "budgets of a container",
        (
            ("spec/trainer", {"container": {"image": "me/train"}}),
            scaling(parameter="width", design="isoflop", budgets=[1e15]),
        ),
        "spec.scaling.design",
        "not known for a container",
    ),
    (
        "data out of order",
        (scaling(design="grid", data=[2000, 1000]),),
        "spec.scaling.data",
        "data must ascend",
    ),
    (
        "data twice",
        (scaling(design="grid", data=[2000, 2000]),),
        "spec.scaling.data",
        "each of data may stand once",
    ),
    (
        "budgets out of order",
        (scaling(design="isoflop", budgets=[2e15, 1e15]),),
        "spec.scaling.budgets",
        "budgets must ascend",
    ),
    (
        "a budget twice",
        (scaling(design="isoflop", budgets=[2e15, 2e15]),),
        "spec.scaling.budgets",
        "each of budgets may stand once",
    ),
    (
        "budgets of another design",
        (scaling(budgets=[1e15]),),
        "spec.scaling.budgets",
        "design isoflop and budgets go together",
    ),
    (
        "rungs to which sizes are added",
        (("spec/scaling", {"rungs": [{"model.width": 8}], "refine": {"maxSizes": 1}}),),
        "spec.scaling.refine",
        "not to rungs",
    ),
    (
        "more scales than there may be",
        (scaling(sizes=list(range(16, 76)), design="grid", data=[1000, 2000]),),
        "spec.scaling.sizes",
        "at most 100 scales in all",
    ),
    (
        "an estimate beside a fixed machine",
        (
            *container(image="me/train"),
            ("spec/resources", {"estimate": {"parameters": 1000}, "fixed": {"cpu": 2}}),
        ),
        "spec.resources",
        "set at most one of estimate, fixed",
    ),
    *(
        (
            f"data that do not suit {task}",
            built_in(task, dataset, model),
            "spec.trainer.builtIn.dataset.name",
            f"with task {task}, dataset.name must be one of",
        )
        for task, dataset, model in (
            ("classification", "diabetes", "mlp"),
            ("regression", "iris", "mlp"),
            ("language-modelling", "digits", "transformer"),
            ("recommendation", "digits", "matrix-factorisation"),
        )
    ),
    *(
        (
            f"a model that does not suit {task}",
            built_in(task, dataset, model),
            "spec.trainer.builtIn.model.name",
            f"with task {task}, model.name must be one of",
        )
        for task, dataset, model in (
            ("regression", "diabetes", "matrix-factorisation"),
            ("language-modelling", "synthetic-text", "mlp"),
            ("recommendation", "synthetic-ratings", "mlp"),
        )
    ),
    (
        "convolutions over a table",
        built_in("classification", "iris", "cnn"),
        "spec.trainer.builtIn.model.name",
        "model cnn needs images",
    ),
    (
        "a table that is augmented",
        built_in("classification", "iris", "mlp", preprocessing={"augmentation": {}}),
        "spec.trainer.builtIn.preprocessing.augmentation",
        "augmentation needs images",
    ),
    (
        "classes of numbers",
        built_in("regression", "diabetes", "mlp", loss="cross-entropy"),
        "spec.trainer.builtIn.loss",
        "loss cross-entropy does not suit",
    ),
    (
        "distances of tokens",
        built_in("language-modelling", "synthetic-text", "transformer", loss="mse"),
        "spec.trainer.builtIn.loss",
        "loss mse does not suit",
    ),
    (
        "a warm-up and a decay that overlap",
        built_in(
            "classification",
            "digits",
            "mlp",
            optimizer={
                "name": "sgd",
                "learning_rate": 0.1,
                "schedule": {"name": "wsd", "warmup": 0.6, "decay": 0.6},
            },
        ),
        "spec.trainer.builtIn.optimizer.schedule.decay",
        "must not exceed 1 together",
    ),
    (
        "nothing to train on",
        built_in("classification", {"name": "digits", "validation": 0.5, "test": 0.5}, "mlp"),
        "spec.trainer.builtIn.dataset.validation",
        "their sum must be below 1",
    ),
    (
        "more ratings than pairs",
        built_in(
            "recommendation",
            {"name": "synthetic-ratings", "users": 10, "items": 10},
            "matrix-factorisation",
        ),
        "spec.trainer.builtIn.dataset.ratings",
        "more ratings than there are pairs",
    ),
)


Json = dict[str, Any]
GPU: Json = {"name": "gpu", "resource": "nvidia.com/gpu", "memory": "80Gi"}


def policy(*shapes: Json, **rest: Any) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourcePolicy",
        "metadata": {"name": "refusals"},
        "spec": {"shapes": list(shapes), **rest},
    }


POLICIES: tuple[tuple[str, Json, str], ...] = (
    ("no shapes", policy(), "spec.shapes"),
    ("a negative price", policy({**GPU, "pricePerHour": -1}), "pricePerHour"),
    ("no memory", policy({**GPU, "memory": "0Gi"}), "memory must be above 0"),
    ("memory 0", policy({**GPU, "memory": 0}), "memory must be above 0"),
    ("no host memory", policy({**GPU, "hostMemory": "0"}), "hostMemory must be"),
    ("unknown", policy({"name": "gpu", "resource": "nvidia.com/gpu"}), "memory is required"),
    ("no vendor", policy({**GPU, "resource": "gpu"}), "resource"),
    ("two of a name", policy(GPU, GPU), "a name of its own"),
    ("many CPUs", policy({"name": "cpu", "maxPerPod": 2}), "goes with resource"),
    ("claims of no class", policy(GPU, backend="dra"), "deviceClass"),
    ("no room", policy(GPU, headroomPercent=100), "headroomPercent"),
)
