"""`memae inspect`: facts about a model, as data and as text."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from memae.estimators import Estimator
from memae.options import epoch_as_json
from memae.scoring import Scorer


def describe(estimator: Estimator) -> dict[str, Any]:
    """All facts about a fitted estimator, JSON-ready."""
    scorer, memory = estimator.scorer_, estimator.scorer_.model.memory
    calibration, weights = scorer.calibration, scorer.balance.weights
    facts: dict[str, Any] = {
        "kind": estimator.kind,
        "network": asdict(estimator.spec_),
        "parameters": sum(value.numel() for value in scorer.model.parameters()),
        "score": {
            "reduction": estimator.reduction,
            "by_position": scorer.by_position,
            "measures": [type(measure).__name__ for measure in scorer.measures],
            "weights": dict(zip(scorer.measured, [1.0] if weights is None else weights.tolist(), strict=True)),
            "kept_samples": _kept(scorer),
            "kept_whole": scorer.kept_samples is not None,  # not as codes
        },
        "training_samples": estimator.learned_ or None,
        "epochs": len(estimator.history_),
        "best_epoch": epoch_as_json(estimator.best_epoch_),
        "held_out_errors": [epoch.held_out_error for epoch in estimator.history_],
    }
    if calibration is not None:
        facts["calibration"] = {
            "threshold": calibration.threshold(),
            "false_alarm_rate": calibration.false_alarm_rate,
            "held_out_samples": len(calibration.scores),
            "lowest_false_alarm_rate": calibration.smallest_rate(),
        }
    if memory is not None and estimator.health_ is not None:
        facts["memory"] = asdict(estimator.health_) | {
            **memory.about(),
            "collapse": estimator.health_.collapse,
            "use": memory.use.tolist(),
        }
    facts |= estimator.kind_.learned()
    facts |= {"options": estimator.get_params(), "data_sha256": estimator.checksum_, "versions": estimator.versions_}
    return facts


def _kept(scorer: Scorer) -> int:
    """Number of kept training samples, or of their codes."""
    if scorer.kept_samples is not None:
        return len(scorer.kept_samples)
    return 0 if scorer.kept is None else scorer.kept.items.shape[-2]


def show(facts: dict[str, Any]) -> None:
    """Prints the facts of `describe`."""
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _lines(facts):
        table.add_row(name, text)
    console.print(table)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    spec, best = facts["network"], facts["best_epoch"]
    lines = [
        ("kind", facts["kind"]),
        ("sample", " × ".join(map(str, spec["shape"]))),
        ("network", f"{' - '.join(map(str, spec['widths']))}, {facts['parameters']:,} parameters"),
        (
            "training",
            (f"{facts['training_samples']} samples, " if facts["training_samples"] else "")
            + f"epoch {best['epoch']} of {facts['epochs']} kept, held-out error {best['held_out_error']:.5g}",
        ),
    ]
    if "columns" in facts:
        lines.insert(1, ("columns", ", ".join(column["name"] for column in facts["columns"])))
    score = facts["score"]
    if len(score["weights"]) > 1:
        text = " + ".join(f"{weight:.4g} × {name}" for name, weight in score["weights"].items())
        if score["kept_samples"]:
            what = "training samples" if score["kept_whole"] else "codes of training samples"
            text += f"; the model holds {score['kept_samples']:,} {what}"
        lines.append(("score", text))
    if "calibration" in facts:
        known = facts["calibration"]
        text = f"flags scores above {known['threshold']:.5g}: false-alarm rate {known['false_alarm_rate']:.3g}"
        lines.append(("calibration", f"{text} on {known['held_out_samples']} held-out samples"))
    lines += _memory_lines(facts)
    lines += [
        ("data", f"sha256 {facts['data_sha256'][:16]}…"),
        ("versions", ", ".join(f"{name} {number}" for name, number in facts["versions"].items())),
    ]
    return lines


def _memory_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    memory, spec = facts.get("memory"), facts["network"]["memory"]
    if memory is None or spec is None:
        return [("memory", "none: a plain autoencoder")]
    busiest = sorted(range(len(memory["use"])), key=lambda item: -memory["use"][item])[:5]
    kind = (
        f"{memory['items']:,} kept samples, of which a query reads the nearest {memory['nearest']}"
        if "nearest" in memory
        else f"{memory['items']} items, {spec['similarity']}, temperature {memory['temperature']:.4g}, "
        f"shrinkage {spec['shrinkage']:g}/N"
    )
    return [
        ("memory", kind),
        ("in use", f"{memory['in_use']} items; {memory['dead']} dead, {memory['duplicates']} duplicates"),
        (
            "a query",
            f"reads {memory['survivors']:.1f} items ({memory['effective']:.1f} effective); "
            f"{memory['fallback_rate']:.2%} find none above λ",
        ),
        ("busiest", ", ".join(f"item {item} {memory['use'][item]:.1%}" for item in busiest)),
        ("health", memory["collapse"] or "well"),
    ]
