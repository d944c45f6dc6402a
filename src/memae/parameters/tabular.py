"""The settings of the detector for tables."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Literal

from memae.parameters.common import Common, Scaling
from memae.parameters.settings import GENERAL, Setting


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
    """What the paper says of its Table 3, the batch of the protocol that it follows, and the most epochs of ours."""

    n_items: Annotated[
        int | None,
        Setting("Items of the memory; 0 is a plain autoencoder; by default half as many as rows, 10 to 200."),
    ] = None
    _: KW_ONLY
    ignore: Annotated[
        Sequence[str],
        Setting(
            "Columns to leave out, in training and, where they are there, in scoring.",
            cli="Repeat for each.",
            panel=GENERAL,
            option=list[str],
        ),
    ] = ()
    scaling: Annotated[
        Scaling,
        Setting(
            'Features to mean 0 and deviation 1 ("standard"), cut off at 8 deviations, or to 0 … 1 ("minmax").',
            panel=GENERAL,
        ),
    ] = "standard"
    widths: Annotated[
        Sequence[int] | Literal["paper"] | None,
        Setting(
            "Output sizes of the encoder's layers.",
            api='By default a wide network; "paper" takes the paper\'s proportions.',
        ),
    ] = None
    temperature: float = 0.05
    warmup: Annotated[
        int | None, Setting("Epochs without memory before the items are set; by default 3, if there are more.")
    ] = None
    masked_columns: Annotated[
        bool,
        Setting(
            "Mask columns and restore them from the others.",
            api="They are masked at random in training and in turn in scoring, and the score counts each column's "
            "error over its expected one. Without it, the score is the error as `reduction` says.",
            was="hide",
        ),
    ] = True
    kept_samples: Annotated[
        int | None,
        Setting(
            "Distinct training rows kept in the model, so that the score also counts the distance to the nearest of "
            "them; by default 10,000 at most. With 0, the model holds no row of the table."
        ),
    ] = None
    contamination: Annotated[
        float,
        Setting(
            "Share of the rows that may be anomalous, below 0.5; so many are left out, those farthest from the others.",
            api="Held-out rows are left out as well: where fewer are anomalous, more normal rows are flagged than "
            "`false_alarm_rate` says. Not for files that stream.",
        ),
    ] = 0.0
    epochs: int = 10
    batch_size: Annotated[
        int | None, Setting("Rows a step; by default a tenth of them, 16 to 256, and up to 1024 for large tables.")
    ] = None
    learning_rate: float = 0.01
    keep_examples: Annotated[
        bool, Setting("Keep the numbers of the training rows that lie nearest to each item, to explain scores with.")
    ] = False
