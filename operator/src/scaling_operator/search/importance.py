"""How much each parameter matters, by PED-ANOVA: which ones tell the best trials from the rest.

Watanabe, Bansal, Hutter: PED-ANOVA, IJCAI 2023 (arXiv:2304.10255); conditional parameters by
Conditional PED-ANOVA (arXiv:2601.20800).
"""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.trial import TrialState

from scaling_operator.search.quiet import ignoring


def importances(study: optuna.Study) -> Mapping[str, float]:
    """Give each parameter's share, largest first; they add up to 1.

    Empty without a completed trial; equal shares where nothing can be told apart. Over the
    completed trials; with several objectives, how much it matters for reaching the Pareto front.
    """
    # It imports scikit-learn where that is installed: two seconds that only a report needs.
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
    # It warns of few trials; what to say about that is the reader's to decide.
    with ignoring(UserWarning):
        shares = get_param_importances(study, evaluator=evaluator, normalize=True)
    # Optuna's order of equal shares hangs on Python's hash of texts.
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
