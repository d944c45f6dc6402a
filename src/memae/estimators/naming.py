"""Gives an estimator what follows from its parameter fields: docstring, signature and former names."""

import inspect
import re
from functools import wraps
from typing import Any, TypeVar

from memae.parameters import Common, described, former_names, parameters_of, renamed

Kind = TypeVar("Kind", bound=type[Common])


def with_parameters(estimator: Kind) -> Kind:
    """Class decorator for an estimator that is a dataclass.

    It replaces the line "Args: …" of the docstring by a list of the parameters, and orders the signature like
    `parameters_of`. Constructor, `set_params` and attributes also accept former names, with a FutureWarning.
    """
    former = former_names(estimator)
    make, change = estimator.__init__, estimator.set_params  # type: ignore[attr-defined]  # scikit-learn's

    @wraps(make)
    def construct(self: Any, *given: Any, **named: Any) -> None:
        make(self, *given, **renamed(former, named))

    @wraps(change)
    def set_params(self: Any, **named: Any) -> Any:
        return change(self, **renamed(former, named))

    construct.__signature__ = _signature(make, estimator)  # type: ignore[attr-defined]  # where `inspect` looks
    estimator.__init__ = construct  # type: ignore[method-assign]
    estimator.set_params = set_params  # type: ignore[attr-defined]
    for old, new in former.items():
        setattr(estimator, old, _former(old, new))
    if estimator.__doc__:  # not under `python -OO`
        arguments = f"Args:\n{described(estimator)}"
        estimator.__doc__ = re.sub(r"^Args: .*$", lambda _: arguments, inspect.cleandoc(estimator.__doc__), flags=re.M)
    return estimator


def _signature(make: Any, kind: type[Common]) -> inspect.Signature:
    """The signature of a constructor, in the order of `parameters_of`, with plain types as annotations."""
    signature = inspect.signature(make)
    ordered = [signature.parameters[each.name].replace(annotation=each.hint) for each in parameters_of(kind)]
    return signature.replace(parameters=[signature.parameters["self"], *ordered])


def _former(old: str, new: str) -> property:
    """An attribute under its former name."""

    def get(self: Any) -> Any:
        return getattr(self, *renamed({old: new}, {old: None}))

    def change(self: Any, value: Any) -> None:
        ((name, value),) = renamed({old: new}, {old: value}).items()
        setattr(self, name, value)

    return property(get, change, doc=f"The former name of `{new}`.")
