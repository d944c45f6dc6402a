"""The settings of the detector for tables."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from memae.parameters.common import Common, Device, Scaling
from memae.parameters.settings import GENERAL, Setting, parameters_of

if TYPE_CHECKING:
    from numpy.random import RandomState


@dataclass(eq=False, repr=False)
class Tabular(Common):
    """The settings of the detector for tables."""

    PAPER = Common.PAPER | {
        "n_items": 50,
        "scaling": "minmax",
        "masked_columns": False,
        "learning_rate": 1e-4,
        "decay": False,
        "epochs": 60,
        "batch_size": 1024,
    }
    """The paper's values for its Table 3, the batch size of the protocol it follows, and our maximum of epochs."""
    LEARNS_WITH: ClassVar[str] = "n_items"

    n_items: Annotated[
        int | None,
        Setting(
            "Train a network with a learned memory of so many items; 0 is a plain autoencoder. By default nothing is "
            "trained: kept rows are the memory.",
            panel=GENERAL,
        ),
    ] = None
    _: KW_ONLY
    ignore: Annotated[
        Sequence[str],
        Setting(
            "Columns to leave out in training and, if present, in scoring.",
            cli="Repeat for each column.",
            panel=GENERAL,
            option=list[str],
        ),
    ] = ()
    keep_columns: Annotated[
        Sequence[str],
        Setting(
            "Columns to take even if they seem to name rows, as identifiers, free text and row numbers do.",
            cli="Repeat for each column.",
            panel=GENERAL,
            flags=("--keep-column",),
            option=list[str],
        ),
    ] = ()
    window: Annotated[
        int | str | None,
        Setting(
            "Score windows of so many neighbouring rows, or of so much time (60s, 5min, 1h), instead of single rows.",
            api="Each row then has the score of the window in whose middle it lies.",
            panel=GENERAL,
            option=str | None,
        ),
    ] = None
    step: Annotated[
        int | str | None,
        Setting(
            "Rows, or time, from one window to the next; by default a quarter of a window.",
            panel=GENERAL,
            option=str | None,
        ),
    ] = None
    group: Annotated[
        str | None,
        Setting(
            "Column that tells whose rows they are, such as the machine; no window spans two.",
            panel=GENERAL,
        ),
    ] = None
    scaling: Annotated[
        Scaling,
        Setting(
            'Scale features to mean 0 and deviation 1, clamped to ±8 ("standard"), or to 0 … 1 ("minmax").',
            panel=GENERAL,
        ),
    ] = "standard"
    widths: Annotated[
        Sequence[int] | Literal["paper"] | None,
        Setting(
            "Output sizes of the encoder's layers.",
            api='By default a wide network; "paper" scales the paper\'s network to the number of features.',
        ),
    ] = None
    temperature: float = 0.05
    warmup: Annotated[
        int | None, Setting("Epochs without memory before the items are initialised; by default 3, but never all.")
    ] = None
    masked_columns: Annotated[
        bool,
        Setting(
            "Mask columns and restore them from the others.",
            api="Training masks columns at random, scoring masks each in turn, and the score divides each feature's "
            "error by its expected error. Without masking, the error follows `reduction`.",
            was="hide",
        ),
    ] = True
    kept_samples: Annotated[
        int | None,
        Setting(
            "Maximum number of distinct training rows kept in the model, by default 10,000. With 0, the model holds no "
            "row of the table, and the memory is learned.",
            panel=GENERAL,
        ),
    ] = None
    contamination: Annotated[
        float,
        Setting(
            "Share of the rows that may be anomalous, below 0.5; this share, the rows farthest from the others, is "
            "left out.",
            api="The threshold is set without them: if fewer are anomalous, more normal rows are flagged than "
            "`false_alarm_rate` allows. Not for files that stream.",
            panel=GENERAL,
        ),
    ] = 0.0
    epochs: int = 10
    batch_size: Annotated[
        int | None,
        Setting("Rows per training step; by default a tenth of all, 16 to 256, and up to 1024 for large tables."),
    ] = None
    learning_rate: float = 0.01
    false_alarm_rate: Annotated[float, Setting("Share of normal rows that may be flagged.", panel=GENERAL)] = 0.05
    keep_examples: Annotated[
        bool,
        Setting(
            "Keep the row numbers of the training rows nearest to each item of a learned memory, to explain scores. "
            "Those of kept rows are always there."
        ),
    ] = False
    device: Annotated[Device, Setting("Where to compute.", panel=GENERAL)] = "auto"
    random_state: Annotated["int | RandomState | None", Setting(panel=GENERAL)] = 0


OF_LEARNING = tuple(each.name for each in parameters_of(Tabular) if each.setting.panel != GENERAL)
"""Settings that only a learned memory uses."""
