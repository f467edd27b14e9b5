"""How much each parameter matters, by PED-ANOVA: which ones tell the best trials from the rest.

Watanabe, Bansal, Hutter: PED-ANOVA, IJCAI 2023 (arXiv:2304.10255); conditional parameters by
Conditional PED-ANOVA (arXiv:2601.20800).
"""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.trial import TrialState

from scaling_operator.search.optuna_messages import ignoring


def importances(study: optuna.Study) -> Mapping[str, float]:
    """Give each parameter's share, largest first; the shares add up to 1.

    The completed trials alone count. Empty without one; equal shares where nothing can be told
    apart. With several objectives: how much a parameter matters for reaching the Pareto front.
    """
    # optuna.importance imports scikit-learn if installed: two seconds that only a report needs.
    from optuna.importance import (  # noqa: PLC0415
        PedAnovaImportanceEvaluator,
        get_param_importances,
    )

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not any(trial.params for trial in done):
        return {}
    evaluator = PedAnovaImportanceEvaluator(
        target_quantile=0.1, region_quantile=1.0, evaluate_on_local=True
    )
    # Optuna warns of few trials; the caller decides what to say about that.
    with ignoring(UserWarning):
        shares = get_param_importances(study, evaluator=evaluator, normalize=True)
    # Optuna's order of equal shares depends on Python's hash of texts.
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
