"""Training is repeatable bit for bit, also when it was cut anywhere, and keeps the epoch that it says it keeps."""

import copy
import json
import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memae import training as training_module
from memae.data.samples import InMemory, Mapped, Selection
from memae.errors import OptionError, ResourceError, TrainingError
from memae.group import Group
from memae.losses import reconstruction_error
from memae.networks import convolutional
from memae.options import Epoch, Options, Step, chosen, epoch_as_json, epoch_from_json
from memae.pretext.columns import ColumnSpec
from memae.pretext.erasing import Erasing, erased
from memae.pretext.rotations import RotationSpec
from memae.pretext.speeds import SpeedSpec, span
from memae.randomness import BatchRandom
from memae.spec import MemorySpec, Spec, build
from memae.training import held_out_error, train

TABLE = Spec((5,), (6, 3), memory=MemorySpec(8, temperature=0.3))
MASKED = Spec((5,), (6, 3), memory=MemorySpec(8, temperature=0.3), pretext=ColumnSpec((1, 3, 1)))
ROTATED = Spec((1, 6, 6), (4, 3), ((2, 2), (1, 1)), memory=MemorySpec(8, temperature=0.3), pretext=RotationSpec(4))
FASTER = Spec(
    (1, 3, 6, 6), (4, 3), ((2, 2), (1, 1)), memory=MemorySpec(8, per_position=True), pretext=SpeedSpec((1, 2))
)
IMAGE = Spec((1, 6, 6), (4, 3), ((2, 2), (1, 1)), memory=MemorySpec(8, temperature=0.3, per_position=True))


def data(shape, n=41, seed=9):
    rows = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))
    return Selection(InMemory(rows)), Selection(InMemory(rows[: n // 2] + 0.1))


def sample(spec):
    """Shape of what is learned: clips at another speed take longer films."""
    if not isinstance(spec.pretext, SpeedSpec):
        return spec.shape
    return (spec.shape[0], span(spec.pretext.speeds, spec.shape[1]), *spec.shape[2:])


def fresh(spec, seed=0):
    torch.manual_seed(seed)
    return build(spec)


def trained(spec, options, model=None, **more):
    model = fresh(spec) if model is None else model
    history = []
    events = list(train(model, *data(sample(spec)), options, history=history, **more))
    return model, history, events


def same_state(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def timeless(history):
    return [epoch._replace(seconds=0.0) for epoch in history]


@pytest.mark.parametrize("spec", [TABLE, IMAGE, ROTATED, FASTER], ids=["table", "image", "rotated", "faster"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(spec):
    options = Options(epochs=3, batch_size=8, learning_rate=1e-2, init="kmeans")
    corrupt = Erasing(0.4) if spec in (IMAGE, ROTATED) else None
    first, history, events = trained(spec, options, corrupt=corrupt)
    torch.manual_seed(77)  # the global generator has no say once the model is built
    again, repeated, _ = trained(spec, options, corrupt=corrupt)
    other, _, _ = trained(spec, Options(**(vars(options) | {"seed": 1})), corrupt=corrupt)
    assert same_state(first, again)
    assert timeless(history) == timeless(repeated)
    assert not same_state(first, other)
    assert not first.training
    assert [type(event) for event in events] == ([Step] * 5 + [Epoch]) * 3  # 41 samples: the last batch has 9


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_codes_norm_counts_in_the_objective(weight, monkeypatch):
    losses = []
    original = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: (losses.append(float(self.detach())), original(self))[1])
    plain = Spec((5,), (6, 3))
    trained(plain, Options(epochs=1, batch_size=41, l1=weight))
    rows = next(data((5,))[0].batches(41, torch.Generator().manual_seed(0)))
    model = fresh(plain).train()
    with torch.no_grad():
        error, norm = reconstruction_error(rows, model(rows).x_hat).mean(), model.encode(rows).abs().sum(1).mean()
    wanted = error + weight * norm
    assert losses == pytest.approx([float(wanted)], rel=1e-6)


def test_steps_and_epochs_report_means_over_the_samples():
    options = Options(epochs=1, batch_size=8, learning_rate=1e-30, choose="last")  # too low to change anything
    model, history, events = trained(TABLE, options)
    rows = data(TABLE.shape)[0].samples.rows
    with torch.no_grad():
        x_hat, recall, *_ = model.train()(rows)
        error = reconstruction_error(rows, x_hat)
    steps = events[:-1]
    assert [(each.epoch, each.step) for each in steps] == [(1, k + 1) for k in range(5)]
    assert history[0].error == pytest.approx(float(error.mean()), rel=1e-5)
    assert history[0].entropy == pytest.approx(float(recall.entropy.mean()), rel=1e-5)
    assert history[0].loss == pytest.approx(history[0].error + 0.0002 * history[0].entropy)
    assert steps[-1].loss == pytest.approx(history[0].loss)
    assert steps[-1].in_use == history[0].health.in_use == int((recall.use > 0).sum())
    assert torch.allclose(model.memory.use, recall.use / recall.use.sum(), atol=1e-5)


def test_every_epoch_learns_all_samples_once_in_an_order_of_its_own():
    rows, held = data((5,))
    seen = []

    def look(batch):
        seen.extend(batch[:, 0].tolist())
        return batch

    for _ in train(fresh(TABLE), Mapped(rows, look), held, Options(epochs=3, batch_size=8)):
        pass
    orders = [seen[41 * epoch : 41 * (epoch + 1)] for epoch in range(3)]
    assert all(sorted(order) == sorted(rows.samples.rows[:, 0].tolist()) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_rotations_are_learned_with_the_weight_of_the_error_and_what_is_erased_is_restored(monkeypatch):
    model, rows = fresh(ROTATED).train(), data(ROTATED.shape)[0].samples.rows
    options = Options(epochs=1, batch_size=64, learning_rate=1e-30, choose="last")
    seen = []
    model.register_forward_pre_hook(lambda module, x: seen.append(x[0]) if module.training else None)
    _, history, _ = trained(ROTATED, options, model, corrupt=Erasing(0.5))
    gone = (seen[0] != rows[: len(seen[0])]) if len(seen[0]) == len(rows) else None
    assert gone is not None
    assert gone.any()
    with torch.no_grad():
        x_hat, recall, _, surprise, *_ = fresh(ROTATED).train()(seen[0])
    order = (seen[0][:, None] == rows).flatten(2).double().mean(2).argmax(1)  # most pixels are left
    error = reconstruction_error(rows[order], x_hat).mean()
    assert history[0].error == pytest.approx(float(error), rel=1e-4)
    expected = error * (1 + surprise.mean()) + 0.0002 * recall.entropy.mean()
    assert history[0].loss == pytest.approx(float(expected), rel=1e-4)


@given(st.integers(0, 10**6), st.floats(0.05, 0.9), st.sampled_from([(8,), (7, 9), (3, 5, 6)]))
def test_what_is_erased_is_a_block_of_one_colour_of_the_sample(seed, share, space):
    x = torch.rand(20, 2, *space, generator=torch.Generator().manual_seed(1))
    found = erased(x, share, BatchRandom(torch.Generator().manual_seed(seed), len(x)))
    assert torch.equal(found, erased(x, share, BatchRandom(torch.Generator().manual_seed(seed), len(x))))
    changed = (found != x).any(1)
    whole = ~changed.flatten(1).any(1)
    assert 0 < whole.sum() < 20
    for sample in (~whole).nonzero().flatten():
        places = changed[sample].nonzero()
        sides = places.amax(0) - places.amin(0) + 1
        wanted = torch.tensor([max(round(share * side), 1) for side in space])
        assert (sides <= wanted).all()
        colour = found[sample][:, changed[sample]]
        assert (colour == colour[:, :1]).all()
        assert (x[sample].flatten(1) == colour[:, :1]).all(0).any()


@pytest.mark.parametrize(("count", "size", "steps"), [(41, 8, 5), (40, 8, 5), (42, 8, 6), (5, 64, 1), (9, 4, 2)])
def test_steps_count_to_what_they_announce(count, size, steps):
    rows, held = data((5,), count)
    events = list(train(fresh(TABLE), rows, held, Options(epochs=2, batch_size=size)))
    found = [(event.step, event.steps) for event in events if isinstance(event, Step)]
    assert found == [(step + 1, steps) for step in range(steps)] * 2


class Scripted:
    """Held-out samples whose error follows a script, whatever the model does: one number an epoch."""

    def __init__(self, wanted, model):
        self.wanted = iter(wanted)
        self.model = model

    def __len__(self):
        return 1

    def batches(self, size, order=None):
        with torch.no_grad():
            zero = torch.zeros(1, 5)
            shift = torch.zeros(1, 5)
            value = next(self.wanted)
            shift[0, 0] = math.nan if math.isnan(value) else math.sqrt(value)
            hook = self.model.register_forward_hook(lambda *a: a[2]._replace(x_hat=a[1][0] + shift))
        yield zero
        hook.remove()


def scripted(errors, **options):
    model = fresh(TABLE)
    history, states = [], []
    chain = train(
        model,
        data((5,))[0],
        Scripted(errors, model),
        Options(epochs=len(errors), batch_size=16, learning_rate=1e-2, **options),
        history=history,
    )
    states += [copy.deepcopy(model.state_dict()) for event in chain if isinstance(event, Epoch)]
    return model, history, states


@pytest.mark.parametrize(
    ("errors", "options", "kept", "epochs"),
    [
        ([3, 1, 2, 4], {}, 1, 4),
        ([3, 1, 2, 1], {}, 1, 4),  # the first of equals
        ([3, 1, 2, 4], {"choose": "last"}, 3, 4),
        ([1, 3, 2, 4], {"warmup": 1}, 2, 4),  # the warm-up is not chosen from, however good
        ([1, 1, 5, 4], {"warmup": 2}, 3, 4),
        ([4, 3, 5, 6, 1], {"patience": 2}, 1, 4),
        ([4, 3, 5, 2, 6, 7, 1], {"patience": 2}, 3, 6),
        ([4, 3, 5, 6, 1], {"patience": 2, "choose": "last"}, 3, 4),
        ([1, 2, 3, 2.5, 2, 2.6, 2.7, 1], {"patience": 2, "warmup": 2}, 4, 7),
        ([2, 2, 2, 2, 1], {"patience": 2}, 0, 3),  # equal is not lower
        ([9, 8, 7, 6], {"patience": 1}, 3, 4),
    ],
)
def test_the_kept_weights_are_those_of_the_chosen_epoch(errors, options, kept, epochs):
    model, history, states = scripted(errors, **options)
    assert [round(epoch.held_out_error, 4) for epoch in history] == errors[:epochs]
    assert all(torch.equal(value, states[kept][name]) for name, value in model.state_dict().items())
    assert chosen(history, Options(epochs=len(errors), **options)) == history[kept]
    assert not model.bypass


@pytest.mark.parametrize("spec", [TABLE, IMAGE], ids=["table", "image"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "absolute"])
def test_the_held_out_error_is_that_of_the_kept_model(spec, reduction):
    options = Options(epochs=6, batch_size=8, learning_rate=3e-2, reduction=reduction)
    model, history, _ = trained(spec, options)
    held = data(spec.shape)[1]
    errors = [epoch.held_out_error for epoch in history]
    assert held_out_error(model, held, options) == min(errors) == chosen(history, options).held_out_error
    x = held.samples.rows
    with torch.no_grad():
        wanted = float(reconstruction_error(x, model(x).x_hat, reduction).mean())
    assert min(errors) == pytest.approx(wanted, rel=1e-5)


def test_a_held_out_error_that_is_never_finite_is_a_training_error():
    with pytest.raises(TrainingError):
        scripted([math.nan, math.nan])


def test_a_loss_that_is_not_finite_is_a_training_error_with_the_rate():
    with pytest.raises(TrainingError, match=r"not finite in epoch 1; lower the learning rate \(1e\+30\)"):
        trained(TABLE, Options(epochs=2, batch_size=8, learning_rate=1e30))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_names_the_batch_size(error):
    model = fresh(TABLE)

    def fail(*_):
        raise error

    model.decoder.register_forward_hook(fail)
    with pytest.raises(ResourceError, match=r"lower the batch size \(now 17\)"):
        trained(TABLE, Options(epochs=1, batch_size=17), model)


def test_another_runtime_error_stays_what_it_is():
    model = fresh(TABLE)

    def fail(*_):
        raise RuntimeError("shapes differ")

    model.decoder.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        trained(TABLE, Options(epochs=1), model)


@pytest.mark.parametrize("spec", [TABLE, IMAGE], ids=["table", "image"])
@pytest.mark.parametrize("init", ["uniform", "samples", "kmeans"])
def test_items_start_where_they_are_told_to(spec, init):
    model = fresh(spec)
    before = model.memory.items.detach().clone()
    options = Options(epochs=1, batch_size=41, learning_rate=1e-30, init=init)
    chain = train(model, *data(spec.shape), options)
    next(chain)
    items = model.memory.items.detach()
    if init == "uniform":
        assert torch.equal(items, before)
        return
    with torch.no_grad():
        model.train()
        rows = data(spec.shape)[0].samples.rows
        codes = model.encode(rows).movedim(1, -1).reshape(-1, items.shape[1])
    nearest = (items[:, None] - codes).norm(dim=-1).amin(1)
    if init == "samples":
        assert float(nearest.max()) < 1e-5
    else:
        assert torch.cdist(codes, items).amin(1).mean() < 0.7 * torch.cdist(codes, before).amin(1).mean()


def test_items_start_after_the_warm_up_from_what_the_encoder_learned_in_it():
    model = fresh(TABLE)
    before = model.memory.items.detach().clone()
    options = Options(epochs=4, batch_size=8, warmup=2, init="samples", learning_rate=1e-2)
    for event in train(model, *data((5,)), options):
        bypassed = event.epoch <= 2
        assert model.bypass == bypassed
        assert torch.equal(model.memory.items, before) == bypassed
        if isinstance(event, Epoch):
            assert (event.health is None) == bypassed
            assert (event.entropy == 0) == bypassed


def test_dead_items_come_back_as_codes_and_the_others_stay():
    def run(revive):
        model = fresh(TABLE)
        with torch.no_grad():  # the codes lie about one direction: two items too, the rest opposite
            model.encoder[2].bias.fill_(3.0)
            codes = model.encode(data((5,))[0].samples.rows)
            model.memory.items.copy_(-codes[:8])
            model.memory.items[:2] = codes[:2]
        options = Options(epochs=3, batch_size=8, learning_rate=1e-6, revive=revive, choose="last")
        dead, items, history = None, None, []
        for event in train(model, *data((5,)), options, history=history):
            if isinstance(event, Step) and event.epoch == 2 and event.step == 1:
                moved = (model.memory.items.detach() - items).abs().amax(1) > 1e-4
                if revive:
                    assert torch.equal(moved, dead)
                    gap = (model.memory.items[dead].detach()[:, None] - codes).norm(dim=-1).amin(1)
                    assert float(gap.max()) < 1e-4
                else:
                    assert not moved.any()
            if isinstance(event, Epoch):
                dead, items = model.memory.use == 0, model.memory.items.detach().clone()
                assert int(dead.sum()) == event.health.dead
        return history

    history = run(revive=True)
    assert history[0].health.dead == 6
    assert history[-1].health.dead == 0
    assert run(revive=False)[-1].health.dead == 6


def test_the_rate_falls_along_half_a_cosine_if_asked(monkeypatch):
    rates = []
    original = torch.optim.Adam.step

    def step(self, *a, **k):
        rates.append(self.param_groups[0]["lr"])
        return original(self, *a, **k)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    trained(TABLE, Options(epochs=2, batch_size=8, learning_rate=0.1, decay=True))
    wanted = [0.05 * (1 + math.cos(math.pi * k / 10)) for k in range(10)]  # 41 samples at 8 are 5 steps an epoch
    assert rates == pytest.approx(wanted)
    rates.clear()
    trained(TABLE, Options(epochs=2, batch_size=8, learning_rate=0.1))
    assert set(rates) == {0.1}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"epochs": 0}, "epochs must be a whole number, 1 or more; got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"warmup": -1}, "warmup"),
        ({"patience": 0}, "patience"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"alpha": -1e-9}, "alpha"),
        ({"l1": math.inf}, "l1 must be 0 or more; got inf"),
        ({"epochs": 3, "warmup": 3}, r"warmup must be lower than epochs \(3\)"),
        ({"reduction": "max"}, "reduction must be one of sum, mean, absolute; got 'max'"),
        ({"choose": "best"}, "choose"),
        ({"init": "zeros"}, "init"),
    ],
)
def test_options_that_cannot_work_are_refused(options, word):
    with pytest.raises(OptionError, match=word):
        Options(**options)


def test_a_share_to_erase_that_cannot_work_is_refused():
    with pytest.raises(OptionError, match=r"erase must be a share of the side, 0 or more and below 1; got 1.0"):
        Erasing(1.0)


RESUMED = Options(
    epochs=4, batch_size=8, learning_rate=1e-2, revive=True, init="kmeans", warmup=1, decay=True, patience=3
)


SHARP = MemorySpec(40, temperature=0.05, shrinkage=4.0)  # so sharp that some items die and are revived
CUT_TABLE = replace(TABLE, memory=SHARP)
CUT_IMAGE = replace(IMAGE, memory=MemorySpec(100, temperature=0.02, shrinkage=20.0, per_position=True))


CUT_ROTATED = replace(ROTATED, memory=MemorySpec(100, temperature=0.02, shrinkage=20.0))
CUT_MASKED = replace(MASKED, memory=CUT_TABLE.memory)
CUT_FASTER = replace(FASTER, memory=MemorySpec(400, temperature=0.02, shrinkage=20.0, per_position=True))


@pytest.mark.parametrize(
    "spec",
    [CUT_TABLE, CUT_IMAGE, CUT_ROTATED, CUT_MASKED, CUT_FASTER],
    ids=["table", "image", "rotated", "masked", "faster"],
)
def test_a_training_cut_anywhere_and_resumed_is_the_one_never_cut(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # hundreds of checkpoints; no power will fail
    options, corrupt = RESUMED, Erasing(0.4) if spec in (CUT_IMAGE, CUT_ROTATED) else None
    whole, history, events = trained(spec, options, corrupt=corrupt)
    assert len(events) == 24
    assert any(epoch.health and epoch.health.dead for epoch in history[:-1])  # something was revived
    for cut in range(1, len(events) + 1, 1 if spec is CUT_TABLE else 2):
        path = tmp_path / f"{cut}.checkpoint"
        chain = train(fresh(spec), *data(sample(spec)), options, corrupt=corrupt, checkpoint=path, every=0.0)
        for _ in range(cut):
            next(chain)
        chain.close()  # what the last event brought was not saved yet
        assert path.exists() == (cut > 1)
        model, resumed, rest = trained(
            spec, options, fresh(spec, seed=5 if cut > 1 else 0), corrupt=corrupt, checkpoint=path, resume=True
        )
        assert same_state(model, whole), cut
        assert timeless(resumed) == timeless(history)
        assert [e[:2] for e in rest if isinstance(e, Step)] == [e[:2] for e in events[cut - 1 :] if isinstance(e, Step)]


def test_cut_at_every_step_in_one_chain(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    whole, history, _ = trained(CUT_TABLE, RESUMED)
    path = tmp_path / "checkpoint"
    for _ in range(100):
        model, resumed = fresh(CUT_TABLE), []
        chain = train(model, *data((5,)), RESUMED, checkpoint=path, resume=True, every=0.0, history=resumed)
        if len([event for event, _ in zip(chain, range(2), strict=False)]) < 2:
            break
        chain.close()
    assert same_state(model, whole)
    assert timeless(resumed) == timeless(history)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


def test_a_finished_training_resumes_to_itself_without_a_step(tmp_path):
    path = tmp_path / "checkpoint"
    model, history, _ = trained(TABLE, RESUMED, checkpoint=path)
    again, resumed, events = trained(TABLE, RESUMED, fresh(TABLE, 3), checkpoint=path, resume=True)
    assert events == []
    assert same_state(again, model)
    assert resumed == history


def test_without_resume_a_checkpoint_is_not_looked_at(tmp_path):
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")
    _, history, _ = trained(TABLE, RESUMED, checkpoint=path)
    assert len(history) == 4


def test_a_checkpoint_of_other_data_or_options_is_refused(tmp_path):
    path = tmp_path / "checkpoint"
    trained(TABLE, Options(epochs=1), checkpoint=path, identity="a")
    before = path.read_bytes()
    with pytest.raises(TrainingError, match="written for other data or options"):
        trained(TABLE, Options(epochs=1), checkpoint=path, identity="b", resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "garbage", "half", "short", "foreign", "folder"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    from safetensors.torch import save_file

    path = tmp_path / "checkpoint"
    trained(TABLE, Options(epochs=1), checkpoint=path)
    whole = path.read_bytes()
    if damage == "foreign":
        save_file({"a": torch.zeros(2)}, path)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {"empty": b"", "garbage": b"\x07" * 500, "half": whole[: len(whole) // 2], "short": whole[:-1]}[damage]
        )
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        trained(TABLE, Options(epochs=1), checkpoint=path, resume=True)


def test_epochs_survive_json():
    for spec in (TABLE, Spec((5,), (3,))):
        for epoch in trained(spec, Options(epochs=1))[1]:
            assert epoch_from_json(json.loads(json.dumps(epoch_as_json(epoch)))) == epoch


def test_a_plain_autoencoder_has_no_health_and_no_entropy():
    _, history, events = trained(Spec((5,), (3,)), Options(epochs=2))
    assert [epoch.health for epoch in history] == [None, None]
    assert {event.entropy for event in events} == {0.0}
    assert events[0].in_use == 0


KILLED = """
    import json, os, signal, sys, time
    from pathlib import Path
    import numpy as np, torch
    from safetensors import safe_open
    from safetensors.torch import save_file
    from memae.data.samples import InMemory, Selection
    from memae.spec import MemorySpec, Spec, build
    from memae.options import Options
    from memae.training import train

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    checkpoint = folder / "checkpoint"
    rng = np.random.default_rng(2)
    SPEC = Spec((10,), (8, 4), memory=MemorySpec(30, temperature=0.1, shrinkage=3.0))

    def work(result, pace, epochs=30, **where):
        torch.manual_seed(0)
        rows = torch.randn(80, 10, generator=torch.Generator().manual_seed(1))
        model = build(SPEC)
        options = Options(epochs=epochs, batch_size=8, learning_rate=1e-2, init="kmeans", warmup=1, revive=True, seed=3)
        for _ in train(model, Selection(InMemory(rows)), Selection(InMemory(rows[:20])), options, **where):
            time.sleep(pace)
        save_file(model.state_dict(), folder / result)

    def start(*what, **where):  # torch is imported and warm for all of them; each child is a process of its own
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work(*what, **where)
                code = 0
            finally:
                os._exit(code)
        return child

    def written():
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    def reached():
        with safe_open(checkpoint, "pt") as file:
            header = json.loads(file.metadata()["memae.checkpoint"])
        return len(header["history"]), header["step"]

    work("warm", 0.0, 2)
    assert os.waitpid(start("whole", 0.0), 0)[1] == 0
    kills, places = 0, []
    for _ in range(10):
        before = written()
        child = start("resumed", 0.006, checkpoint=checkpoint, resume=True, every=0.0)
        deadline = time.monotonic() + 30
        while written() == before and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.15))  # 300 steps of 6 ms or more outlast the ten delays
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        places.append(reached())
    print("kills", kills, "at", len(set(places)), places == sorted(places))
    assert os.waitpid(start("resumed", 0.0, checkpoint=checkpoint, resume=True, every=60.0), 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_training_killed_ten_times_gives_the_same_bits(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "kills 10 at 10 True"  # each at another step, and never back
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "resumed").read_bytes()


def test_a_revived_item_starts_without_the_moments_of_the_dead_one():
    options = Options(epochs=3, batch_size=8, revive=True)
    training, _ = data((5,))
    run = training_module.Run(fresh(TABLE), options, "", [])
    list(training_module._epoch(run, training, training, options, None, Group()))
    memory = run.model.memory
    moments = run.adam.state[memory.items]
    for name in ("exp_avg", "exp_avg_sq"):
        moments[name].fill_(1.0)
    memory.use.fill_(0.25)
    memory.use[2:] = 0.0
    kept = memory.items[:2].detach().clone()
    training_module._prepare_items(run, training, options, 1, Group())
    assert torch.equal(memory.items[:2], kept)
    for name in ("exp_avg", "exp_avg_sq"):
        assert (moments[name][:2] == 1).all()
        assert (moments[name][2:] == 0).all()


@pytest.mark.parametrize("before", [False, True])
def test_training_leaves_denormals_as_they_were(before):
    def vanishes():
        return bool(torch.tensor(1e-40) * 1.0 == 0)

    if not torch.set_flush_denormal(before):
        pytest.skip("this processor does not flush denormals")
    try:
        trained(TABLE, Options(epochs=1, batch_size=8))
        assert vanishes() == before
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.filterwarnings("ignore")  # of torch, where it compiles
def test_a_compiled_training_is_nearly_the_eager_one_and_resumes_to_the_same_bits(tmp_path):
    if not training_module._compiler_works():
        pytest.skip("torch.compile needs a C++ compiler and Python's headers")
    options = Options(epochs=3, batch_size=8, learning_rate=1e-3, warmup=1, init="samples", compiled=True)
    _, eager, _ = trained(IMAGE, replace(options, compiled=False))
    compiled, history, events = trained(IMAGE, options)
    assert compiled._compiled is None
    for one, other in zip(history, eager, strict=True):
        assert one[1:5] == pytest.approx(other[1:5], rel=1e-3)  # losses, errors and entropy
    place = tmp_path / "c"
    steps = train(fresh(IMAGE), *data(IMAGE.shape), options, checkpoint=place, every=0)
    for _ in range(len(events) // 2):
        next(steps)
    steps.close()
    resumed, again, _ = trained(IMAGE, options, checkpoint=place, resume=True)
    assert same_state(resumed, compiled)
    assert timeless(again) == timeless(history)


def test_only_long_trainings_of_images_are_compiled(monkeypatch):
    monkeypatch.setattr(training_module, "_compiler_works", lambda: True)
    cifar = build(Spec((3, 32, 32), *convolutional.CIFAR10, MemorySpec(500, temperature=0.03)))
    assert not training_module.worth_compiling(cifar, (3, 32, 32), 4500, 2)
    assert training_module.worth_compiling(cifar, (3, 32, 32), 4500, 60)
    assert cifar.training
    assert not training_module.worth_compiling(fresh(TABLE), TABLE.shape, 10**9, 10**3)
    monkeypatch.setattr(training_module, "_compiler_works", lambda: False)
    assert not training_module.worth_compiling(cifar, (3, 32, 32), 4500, 60)
    monkeypatch.undo()
    training_module._compiler_works.cache_clear()
    monkeypatch.setattr(torch, "compile", lambda *_, **__: 1 / 0)
    assert not training_module._compiler_works()
    training_module._compiler_works.cache_clear()
