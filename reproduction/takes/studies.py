"""The factors of each set and their levels, fixed before the first run, and the few problems of the screening."""

from reproduction.takes.design import Factor, Level, Study
from reproduction.takes.settings import Setting

PADDING = Factor("padding", Level("1", {"padding": 1}), Level("none", {"padding": 0}))
CODE = Factor(
    "channels of the code",
    Level("as printed", {"code": 1.0}),
    Level("half", {"code": 0.5}),
    (Level("double", {"code": 2.0}),),
)
ITEMS = Factor(
    "an item is", Level("a whole code", {"per_position": False}), Level("one position", {"per_position": True})
)
RANGE = Factor(
    "range of the input",
    Level("[0, 1]", {"range": "unit"}),
    Level("[−1, 1]", {"range": "signed"}),
    (Level("standardised", {"range": "standardised"}), Level("each image standardised", {"range": "each"})),
)
MOMENTUM = Factor(
    "BatchNorm momentum",
    Level("0.1", {"momentum": 0.1}),
    Level("0.01", {"momentum": 0.01}),
    (Level("0.001", {"momentum": 0.001}),),
)
SLOPE = Factor("slope of the LeakyReLU", Level("0.2", {"slope": 0.2}), Level("0.01", {"slope": 0.01}))
START = Factor(
    "first items",
    Level("uniform ±1/√C", {"init": "uniform", "warmup": 0}),
    Level("codes of samples", {"init": "samples", "warmup": 0}),
    (Level("k-means after 3 epochs", {"init": "kmeans", "warmup": 3}),),
)
TEMPERATURE = Factor(
    "temperature",
    Level("1", {"temperature": 1.0}),
    Level("0.1", {"temperature": 0.1}),
    (Level("0.03", {"temperature": 0.03}),),
)
SHRINKAGE = Factor(
    "λ", Level("1/N", {"shrinkage": 1.0}), Level("3/N", {"shrinkage": 3.0}), (Level("2/N", {"shrinkage": 2.0}),)
)
EMPTY = Factor(
    "a query that finds no item above λ reads",
    Level("its strongest item", {"on_empty": "strongest"}),
    Level("nothing", {"on_empty": "zero"}),
)
REDUCTION = Factor("error in Eq. 10", Level("sum", {"reduction": "sum"}), Level("mean", {"reduction": "mean"}))


def _rate(falling: float) -> Factor:
    return Factor(
        "learning rate",
        Level("1e-4, constant", {"rate": 1e-4, "decay": False}),
        Level(f"{falling:g}, falling to 0", {"rate": falling, "decay": True}),
        (
            Level(f"{falling:g}, constant", {"rate": falling, "decay": False}),
            Level("1e-4, falling to 0", {"rate": 1e-4, "decay": True}),
        ),
    )


def _epochs(low: int, high: int, more: int) -> Factor:
    first, second, third = (Level(f"{count}", {"epochs": count}) for count in (low, high, more))
    return Factor("epochs", first, second, (third,))


def _batch(low: int, high: int, more: int) -> Factor:
    first, second, third = (Level(f"{size}", {"batch": size}) for size in (low, high, more))
    return Factor("batch", first, second, (third,))


def _of_images(epochs: Factor) -> tuple[Factor, ...]:
    return (
        PADDING, _rate(2e-3), ITEMS, epochs, TEMPERATURE, SHRINKAGE, RANGE, START, _batch(32, 128, 16), CODE, MOMENTUM,
        SLOPE, REDUCTION,
    )  # fmt: skip


BASE = Setting(on_empty="strongest")
"""What empties are read as is no factor of the screening: nothing can be learned through an empty query."""
CIFAR10 = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STUDIES: dict[str, Study] = {
    "mnist": Study(
        "MNIST",
        "AUROC",
        _of_images(_epochs(15, 60, 120)),
        (2, 8),
        tuple(range(10)),
        BASE,
        {"ae": 0.9619, "memae_nonspar": 0.9725, "memae": 0.9751},
        {number: f"digit {number}" for number in range(10)},
        (EMPTY,),
    ),
    "cifar10": Study(
        "CIFAR-10 (JPEG copies)",
        "AUROC",
        _of_images(_epochs(5, 20, 40)),
        (1, 6),
        tuple(range(10)),
        BASE,
        {"ae": 0.5706, "memae_nonspar": 0.6058, "memae": 0.6088},
        dict(enumerate(CIFAR10)),
        (EMPTY,),
    ),
    "kddcup": Study(
        "KDDCUP",
        "F1",
        (
            Factor("range of the input", RANGE.low, RANGE.more[0], (RANGE.high,)),
            _rate(1e-3),
            TEMPERATURE,
            _epochs(10, 40, 80),
            SHRINKAGE,
            START,
            _batch(1024, 256, 64),
            REDUCTION,
        ),
        (100,),
        (100, 101, 102, 103, 104),
        BASE,
        {"ae": 0.9342, "memae_nonspar": 0.9355, "memae": 0.9641},
        {number: f"drawing {number}" for number in range(100, 105)},
        (EMPTY,),
    ),
}
"""By key. Classes 2 and 8 of MNIST are those that autoencoders tell worst; of the car and the frog of CIFAR-10, by our
Table 1, the memory helps the frog alone. Drawings of KDDCUP are none of the 20 of Table 3."""
