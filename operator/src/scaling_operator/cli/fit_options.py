"""`scaling fit`: its options as typer reads them.

Nothing here loads numpy: the fit is imported when the command runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from scaling_operator.cli.fit_request import Columns, FitRequest

LISTS = ("--target-flops", "--target-cost", "--predict")
MOST_RESAMPLES = 100_000


class FitCommand(TyperCommand):
    """A command whose repeatable options also take several values in a row.

    `--target-flops 1e20 1e21` means the same as `--target-flops 1e20 --target-flops 1e21`.
    """

    # typer's context is click's or, in newer versions, typer's own copy of click's.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, with the option repeated before each value."""
        return super().parse_args(ctx, spread(args))


def spread(words: Sequence[str]) -> list[str]:
    """Repeat a repeatable option before each further number that follows the option."""
    result: list[str] = []
    option: str | None = None
    for word in words:
        if word in LISTS:
            option = word
        elif option is not None and not _is_numeric(word):
            option = None
        elif option is not None and result[-1] != option:
            result.append(option)
        result.append(word)
    return result


def _is_numeric(word: str) -> bool:
    try:
        return bool([float(part) for part in word.split(",")])
    except ValueError:
        return False


_DESIGN, _ANSWERS, _OUTPUT = "Method", "Questions", "Output"


# Each parameter is an option of the command line, and typer passes them by name.
def fit(  # noqa: PLR0913, PLR0917
    points: Annotated[
        Path, typer.Argument(metavar="POINTS.csv", help="A table of runs, with a header.")
    ],
    parameters: Annotated[
        str, typer.Option(metavar="COL", help="Column of N, the model's parameters.")
    ],
    loss: Annotated[str, typer.Option(metavar="COL", help="Column of the final loss.")],
    tokens: Annotated[
        str | None, typer.Option(metavar="COL", help="Column of D, the tokens or samples seen.")
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of C, training FLOPs; D is C/(6N) without it."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Column of the compute budget, for IsoFLOP."),
    ] = None,
    form: Annotated[
        Literal["auto", "chinchilla", "tied", "power"],
        typer.Option(help="The law; auto chooses by the points.", rich_help_panel=_DESIGN),
    ] = "auto",
    method: Annotated[
        Literal["parametric", "isoflop", "both"],
        typer.Option(help="IsoFLOP needs --group.", rich_help_panel=_DESIGN),
    ] = "both",
    optimum: Annotated[
        Literal["quadratic", "akima"],
        typer.Option(help="Interpolation of IsoFLOP curves.", rich_help_panel=_DESIGN),
    ] = "quadratic",
    drop_worst: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="K",
            help="Leave out every run at or above the K-th largest loss.",
            rich_help_panel=_DESIGN,
        ),
    ] = 0,
    duplicates: Annotated[
        Literal["refuse", "best"],
        typer.Option(help="Several runs of one (N, D).", rich_help_panel=_DESIGN),
    ] = "refuse",
    bootstrap: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_RESAMPLES,
            metavar="N",
            help="Resamples behind the intervals; 0 gives none.",
            rich_help_panel=_DESIGN,
        ),
    ] = 1000,
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="S", help="Of starts and resamples.", rich_help_panel=_DESIGN),
    ] = 0,
    target_flops: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X...", help="Budgets to recommend a size for.", rich_help_panel=_ANSWERS
        ),
    ] = None,
    target_cost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X...",
            help="Money to recommend a size for; needs --policy.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="POLICY.yaml",
            help="A ResourcePolicy: machine, hours and cost of what is recommended.",
            rich_help_panel=_ANSWERS,
        ),
    ] = None,
    predict: Annotated[
        list[str] | None,
        typer.Option(metavar="N,D...", help="Runs to predict.", rich_help_panel=_ANSWERS),
    ] = None,
    as_json: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--json", help="Print one JSON object and nothing else.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    plot: Annotated[  # noqa: FBT002
        bool, typer.Option(help="Draw the page.", rich_help_panel=_OUTPUT)
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Page with the plots; without it POINTS-fit.html in this folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
) -> None:
    """Fit a scaling law to a table of runs, and say which size a budget should train."""
    from scaling_operator.cli.fit import run_fit  # noqa: PLC0415 - scipy and plots load slowly

    request = FitRequest(
        points=points,
        columns=Columns(parameters=parameters, tokens=tokens, flops=flops, loss=loss, group=group),
        form=form,
        method=method,
        optimum=optimum,
        drop_worst=drop_worst,
        duplicates=duplicates,
        bootstrap=bootstrap,
        seed=seed,
        target_flops=tuple(target_flops or ()),
        target_cost=tuple(target_cost or ()),
        policy=policy,
        predict=tuple(predict or ()),
        json=as_json,
        plot=plot,
        out=out,
    )
    raise typer.Exit(run_fit(request))
