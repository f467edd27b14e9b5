"""A label selector, as Kubernetes has it: which objects are meant, by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Protocol, assert_never

from pydantic import Field

from scaling_operator.api.fields import ApiSection, CheckedSection, LabelKey, LabelValue
from scaling_operator.api.rules import Rule, is_given


class Requirement(Protocol):
    """A requirement of Kubernetes' selectors: an operator and the values it compares with."""

    @property
    def operator(self) -> str:
        """In, NotIn, Exists, DoesNotExist, Gt or Lt."""
        ...

    @property
    def values(self) -> tuple[str, ...]:
        """Values that the label is compared with."""
        ...


VALUES_SUIT_OPERATOR: tuple[Rule[Requirement], ...] = (
    Rule(
        holds=lambda requirement: (
            requirement.operator not in ("In", "NotIn") or bool(requirement.values)
        ),
        sentence=lambda requirement: f"operator {requirement.operator} needs values",
        cel=f"!(self.operator in ['In', 'NotIn']) || {is_given('values')}",
        message="operators In and NotIn need values",
        field="values",
    ),
    Rule(
        holds=lambda requirement: (
            requirement.operator not in ("Exists", "DoesNotExist") or not requirement.values
        ),
        sentence=lambda requirement: f"operator {requirement.operator} takes no values",
        cel=f"!(self.operator in ['Exists', 'DoesNotExist']) || !{is_given('values')}",
        message="operators Exists and DoesNotExist take no values",
        field="values",
    ),
)


class LabelRequirement(CheckedSection):
    """What is asked of one label."""

    RULES: ClassVar[tuple[Rule[Requirement], ...]] = VALUES_SUIT_OPERATOR

    key: LabelKey = Field(description="Name of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How it is compared with values."
    )
    values: Annotated[tuple[LabelValue, ...], Field(max_length=50)] = Field(
        default=(), description="Some for In and NotIn, else none."
    )

    def is_met_by(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are as asked; NotIn is met where the label is absent."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                assert_never(self.operator)


class LabelSelector(ApiSection):
    """Objects that have all these labels, and meet all these requirements; empty: all objects."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=20)] = Field(
        default={}, description="Labels, with their values."
    )
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=20)] = Field(
        default=(), description="Further requirements."
    )

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is meant."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.is_met_by(labels) for requirement in self.match_expressions
        )

    def __str__(self) -> str:
        """Write it as `kubectl get -l` takes it."""
        equal = [f"{key}={value}" for key, value in self.match_labels.items()]
        return ",".join([*equal, *map(_written, self.match_expressions)])


def _written(requirement: LabelRequirement) -> str:
    key, values = requirement.key, ",".join(requirement.values)
    match requirement.operator:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
        case _:
            assert_never(requirement.operator)
