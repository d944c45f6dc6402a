"""Training as a generator of steps and epochs, without callbacks."""

import functools
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from memae.checkpoint import Run
from memae.data.samples import Samples, batch_sizes, divided
from memae.errors import TrainingError, memory_guard
from memae.files import sweep
from memae.group import ALONE, Group, Share
from memae.health import duplicates
from memae.joint import joint
from memae.losses import objective, reconstruction_error
from memae.memory import kmeans_items, sampled_items
from memae.model import Found, MemAE
from memae.options import Epoch, Options, Step
from memae.randomness import BatchRandom

Corruption = Callable[[Tensor, BatchRandom], Tensor]
"""(normalised samples `(b, *shape)`, their random numbers) → the samples with a part erased, the same shape."""


def train(
    model: MemAE,
    training: Samples,
    held_out: Samples,
    options: Options,
    *,
    corrupt: Corruption | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    every: float = 10.0,
    identity: str = "",
    history: list[Epoch] | None = None,
    group: Group = ALONE,
) -> Iterator[Step | Epoch]:
    """Trains `model` in place and yields every step and epoch; at the end it has the chosen epoch's weights.

    The same model, samples, options and thread count give the same weights to the bit, also if the training was killed
    and resumed.

    Args:
        model: on the device to train on.
        training: normal samples, normalised.
        held_out: normal samples, normalised, for the held-out error only.
        options: of the training.
        corrupt: applied to samples before they are encoded; the whole samples are to be restored.
        checkpoint: file that is rewritten every `every` seconds and at the end; None for none.
        resume: continue from `checkpoint` if it exists.
        every: seconds between checkpoints.
        identity: describes data and options; a checkpoint with another identity is refused.
        history: receives all epochs, including those before a resume.
        group: the processes that train together. Each computes a part of every batch, all end with the same weights,
            and the first one writes the checkpoint, which all read.

    Raises:
        TrainingError: the loss is not finite, the checkpoint does not fit, or another process has ended.
        ResourceError: out of memory.
    """
    run = Run(model, options, identity, [] if history is None else history, group.processes)
    if checkpoint is not None and group.leads:
        sweep(checkpoint)
    if checkpoint is not None and resume and checkpoint.exists():
        run.load(checkpoint)
    group.agree((identity, len(run.history), run.step))
    group.broadcast(_state(model))
    saved = time.monotonic()
    model.compile_batches(options.batch_size if options.compiled and group.alone else 0)
    with memory_guard(f"lower the batch size (now {options.batch_size}), the widths or the sample size"):
        while not _finished(run.history, options):
            for event in _epoch(run, training, held_out, options, corrupt, group):
                yield event
                if checkpoint is not None and group.leads and time.monotonic() - saved >= every:
                    run.save(checkpoint)
                    saved = time.monotonic()
    if checkpoint is not None and group.leads:
        run.save(checkpoint)
    model.bypass = False
    model.compile_batches(0)
    if options.choose == "lowest":
        model.load_state_dict(run.best)
    model.eval()


COMPILE = 2e13
"""Operations of a training (about five minutes on one core) above which compiling saves more than the half minute it
takes. Measured for samples `(c, h, w)`, whose steps become 1.1 to 1.2 times faster. With three space dimensions the
speed does not change; without any, steps become slower."""


def worth_compiling(model: MemAE, shape: tuple[int, ...], samples: int, epochs: int) -> bool:
    """Whether to compile a training; depends on its operations alone, so that a resumed training decides the same.

    Args:
        model: on the device to train on.
        shape: of a sample.
        samples: number of training samples.
        epochs: passes over them.
    """
    if len(shape) != 3 or next(model.parameters()).device.type != "cpu":
        return False
    counter = FlopCounterMode(display=False)
    training = model.training
    with counter, torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    model.train(training)
    forward_and_backward = 3 * counter.get_total_flops()
    return forward_and_backward * samples * epochs >= COMPILE and _compiler_works()


def _doubled(x: Tensor) -> Tensor:
    return x * 2


@functools.cache
def _compiler_works() -> bool:
    """Whether `torch.compile` works on this machine; it needs a C++ compiler and Python's headers."""
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.compile(_doubled)(torch.zeros(8))
    except Exception:
        return False
    return True


def _finished(history: list[Epoch], options: Options) -> bool:
    if len(history) >= options.epochs:
        return True
    errors = [epoch.held_out_error for epoch in history[options.warmup :]]
    since_best = len(errors) - 1 - errors.index(min(errors)) if errors else 0
    return options.patience is not None and since_best >= options.patience


def _generator(options: Options, epoch: int, purpose: int, step: int = 0) -> torch.Generator:
    """Random numbers that depend only on seed, epoch, purpose and step, so that any step can be repeated."""
    seed = (options.seed * 1_000_003 + epoch) * 4 + purpose + step * 0x9E3779B97F4A7C15  # 2⁶⁴ / golden ratio
    return torch.Generator().manual_seed(seed % 2**63 if step else seed)


def _epoch(
    run: Run, training: Samples, held_out: Samples, options: Options, corrupt: Corruption | None, group: Group
) -> Iterator[Step | Epoch]:
    """Continues or starts one epoch."""
    model, number = run.model, len(run.history)
    model.bypass = number < options.warmup
    if run.step == 0:
        run.start_epoch()
        _prepare_items(run, training, options, number, group)
    sizes = batch_sizes(len(training), options.batch_size)
    steps = len(sizes)
    began = time.monotonic() - run.seconds
    mine = training if group.alone else divided(training, lambda samples: group.share(samples).rows)
    batches = mine.batches(options.batch_size, _generator(options, number, 0))
    for step, batch in enumerate(batches):
        if step < run.step:  # done before the checkpoint
            continue
        share = group.share(len(batch) if group.alone else sizes[step])
        random = BatchRandom(_generator(options, number, 3, step), share.whole, share.rows)
        progress = (number + step / steps) / options.epochs
        x = batch.to(next(model.parameters()).device)
        _learn(run, x, options, progress, random, corrupt, group, share)
        run.step, run.seconds = step + 1, time.monotonic() - began
        samples, loss, _, entropy = run.sums.tolist()
        in_use = int((run.meter.use > 0).sum()) if run.meter is not None else 0
        yield Step(number + 1, run.step, steps, loss / samples, entropy / samples, in_use)
    yield _close(run, held_out, options, group)


@contextmanager
def _denormals_are_zero() -> Iterator[None]:
    """Treats denormal numbers, near 1e-40, as 0 meanwhile: a CPU takes a hundred times as long for them.

    They arise in softmax weights far below the largest and in Adam's moments of items that are no longer read.
    """
    already = bool(torch.tensor(1e-40) * 1.0 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)


@_denormals_are_zero()
def _learn(
    run: Run,
    x: Tensor,
    options: Options,
    progress: float,
    random: BatchRandom,
    corrupt: Corruption | None,
    group: Group,
    share: Share,
) -> None:
    """One step of Adam on Eq. 10 plus the loss of the pretext task.

    Args:
        run: is updated.
        x: samples to restore, those of a batch that this process computes.
        options: of the training.
        progress: share of the training that is done, 0 to 1.
        random: for the corruption and the views of the pretext task.
        corrupt: see `train`.
        group: of the processes that compute the batch.
        share: what this one computes of it.
    """
    model = run.model
    model.train()
    for parameters in run.adam.param_groups:
        parameters["lr"] = options.learning_rate * (0.5 * (1 + math.cos(math.pi * progress)) if options.decay else 1.0)
    with joint(model, group, share):
        found: Found = model(x if corrupt is None else corrupt(x, random), random)
        error = reconstruction_error(model.pretext.target(x), found.x_hat, options.reduction)
        entropy = error.new_zeros(1) if found.recall is None else found.recall.entropy
        loss = objective(error, entropy, options.alpha)
        if found.surprise is not None:
            loss = loss + model.pretext.loss(found.surprise, error)
        if options.l1:
            loss = loss + options.l1 * found.codes.flatten(1).abs().sum(1).mean()
    run.adam.zero_grad(set_to_none=True)
    (loss if group.alone else loss * share.weight).backward()  # type: ignore[no-untyped-call]
    group.add_gradients(model.parameters())
    run.adam.step()
    means = torch.stack([torch.ones_like(loss), loss.detach(), error.detach().mean(), entropy.detach().mean()])
    run.sums += group.sum(means.double().cpu() * share.weight) * share.whole
    if found.recall is not None and run.meter is not None:
        run.meter.add(found.recall, lambda part: group.sum(part) / share.holders)


def _close(run: Run, held_out: Samples, options: Options, group: Group) -> Epoch:
    """Ends an epoch: computes the held-out error, records the epoch, and keeps its weights if they are the best."""
    model, memory = run.model, run.model.memory
    samples, loss, error, entropy = run.sums.tolist()
    if not math.isfinite(loss):
        rate = f"{options.learning_rate:g}"
        raise TrainingError(f"the loss is not finite in epoch {len(run.history) + 1}; lower the learning rate ({rate})")
    health = None
    if memory is not None and run.meter is not None and not model.bypass:
        memory.use.copy_(run.meter.share)
        health = run.meter.health(duplicates(memory.items.detach()))
    held = group.once(lambda: held_out_error(model, held_out, options))
    if not math.isfinite(held):
        raise TrainingError(
            f"the held-out error is not finite in epoch {len(run.history) + 1}; look for NaN in the data"
        )
    epoch = Epoch(len(run.history) + 1, loss / samples, error / samples, entropy / samples, held, health, run.seconds)
    run.history.append(epoch)
    run.step = 0
    if not model.bypass and held < run.best_error:
        run.best_error = held
        run.best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return epoch


@torch.no_grad()
def held_out_error(model: MemAE, held_out: Samples, options: Options) -> float:
    """Mean reconstruction error R over held-out samples; with a pretext task, multiplied by 1 + its mean surprise."""
    model.eval()
    device = next(model.parameters()).device
    error, surprise = torch.zeros(2, dtype=torch.float64)
    for batch in held_out.batches(options.batch_size):
        x = batch.to(device)
        found: Found = model(x)
        target = model.pretext.target(x)
        error += reconstruction_error(target, found.x_hat, options.reduction).sum(dtype=torch.float64).cpu()
        if found.surprise is not None:
            surprise += found.surprise.reshape(len(x), -1).mean(1).sum(dtype=torch.float64).cpu()
    return float(error / len(held_out) * (1 + surprise / len(held_out)))


def _prepare_items(run: Run, training: Samples, options: Options, number: int, group: Group) -> None:
    """Initialises the items at the end of the warm-up; later, restarts items that were not read in the last epoch.

    The first process computes them, from all samples.
    """
    memory = run.model.memory
    if memory is None or number < options.warmup:
        return
    if number == options.warmup and options.init != "uniform":
        if group.leads:
            start: Callable[..., Tensor] = kmeans_items if options.init == "kmeans" else sampled_items
            codes = _codes(run.model, training, options, number, len(memory.items) * 50)
            with torch.no_grad():
                memory.items.copy_(start(codes, len(memory.items), _generator(options, number, 1)))
        group.broadcast(_state(run.model))
    elif number > options.warmup and options.revive and bool((memory.use == 0).any()):
        dead = (memory.use == 0).nonzero().flatten()
        if group.leads:
            codes = _codes(run.model, training, options, number, len(memory.items))
            with torch.no_grad():
                memory.items[dead] = sampled_items(codes, len(dead), _generator(options, number, 1)).to(memory.items)
        group.broadcast(_state(run.model))
        for name in ("exp_avg", "exp_avg_sq"):
            run.adam.state[memory.items][name][dead] = 0.0


def _state(model: MemAE) -> list[Tensor]:
    """All tensors of a model, of which BatchNorm's running statistics change with every encoding in training mode."""
    return [*model.parameters(), *model.buffers()]


@torch.no_grad()
def _codes(model: MemAE, training: Samples, options: Options, number: int, count: int) -> Tensor:
    """Encodings `(m, c)`, m ≤ `count`, of random training samples as queries of the memory, on the CPU."""
    model.train()  # BatchNorm with batch statistics, as in the next step
    device = next(model.parameters()).device
    order = _generator(options, number, 2)
    parts: list[Tensor] = []
    total = 0
    for batch in training.batches(options.batch_size, order):
        z = model.encode(model.pretext.all_views(batch.to(device)).samples).movedim(1, -1)
        rows = z.reshape(-1, z.shape[-1]).cpu()
        parts.append(rows[torch.randperm(len(rows), generator=order)[: max(1, count // 8)]])
        total += len(parts[-1])
        if total >= count:
            break
    return torch.cat(parts)[:count]
