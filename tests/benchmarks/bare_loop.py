"""The case study as a notebook would do it: make the data, ask, train, evaluate, tell.

The yardstick of `bench_local.py`: the same models on one thread, in one process, with nothing else.
"""

# pyright: basic, reportCallIssue=false, reportArgumentType=false
# A notebook has no types, and PyTorch's own are incomplete; the yardstick stays what people write.

from __future__ import annotations

import optuna
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler


def bare_loop(trials: int) -> None:
    """Tune the case study as a notebook would: make the data, ask, train, evaluate, tell."""

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, labels = make_classification(1000, 10, n_informative=5, random_state=0)
    rest, test = train_test_split(range(1000), test_size=0.2, stratify=labels, random_state=0)
    train, check = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=0)
    del test
    scaler = MinMaxScaler().fit(rows[train])
    inputs, targets, inputs_val, targets_val = (
        torch.as_tensor(scaler.transform(rows[train]), dtype=torch.float32),
        torch.as_tensor(labels[train]),
        torch.as_tensor(scaler.transform(rows[check]), dtype=torch.float32),
        torch.as_tensor(labels[check]),
    )
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=7))
    for _ in range(trials):
        trial = study.ask()
        rate = trial.suggest_float("learning_rate", 0.001, 1.0, log=True)
        width = trial.suggest_int("width", 2, 128, log=True)
        torch.manual_seed(trial.number)
        model = torch.nn.Sequential(
            torch.nn.Linear(10, width), torch.nn.ReLU(), torch.nn.Linear(width, 2)
        )
        optimizer = torch.optim.SGD(model.parameters(), rate)
        score = 0.0
        for _epoch in range(50):
            model.train()
            for batch in torch.randperm(len(inputs)).split(16):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for part, truth in ((inputs, targets), (inputs_val, targets_val)):
                    logits = model(part)
                    torch.nn.functional.cross_entropy(logits, truth).item()
                    counts = torch.bincount(2 * truth + logits.argmax(-1), minlength=4).view(2, 2)
                    f1 = 2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))
                    score = float(f1.nan_to_num().mean())
        study.tell(trial, score)


if __name__ == "__main__":
    bare_loop(30)
