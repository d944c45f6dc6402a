"""One hypothesis profile for all tests: the same examples in every run, and no clock. One thread: models are tiny."""

import torch
from hypothesis import Phase, settings

PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # no explanation, which is slow
settings.register_profile("memae", deadline=None, derandomize=True, max_examples=50, phases=PHASES)
settings.load_profile("memae")
torch.set_num_threads(1)
