"""`memae inspect`: facts about a model, as data and as text."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from memae.estimators import Estimator
from memae.evidence import kept_sample
from memae.options import epoch_as_json
from memae.patches import PatchMemory
from memae.scoring import Scorer

BUSIEST = 5
"""Number of items that are listed, those with the largest shares in all reads."""


def describe(estimator: Estimator) -> dict[str, Any]:
    """All facts about a fitted estimator, JSON-ready."""
    scorer, trained = estimator.scorer_, estimator.scorer_.model.trained
    calibration, weights = scorer.calibration, scorer.balance.weights
    facts: dict[str, Any] = {
        "kind": estimator.kind,
        "trained": trained,
        "network": asdict(estimator.spec_),
        "parameters": sum(value.numel() for value in scorer.model.parameters()) if trained else 0,
        "score": {
            "reduction": estimator.reduction,
            "by_position": scorer.by_position,
            "measures": [type(measure).__name__ for measure in scorer.measures],
            "weights": dict(zip(scorer.measured, [1.0] if weights is None else weights.tolist(), strict=True)),
            "in_bits": scorer.balance.knots is not None,  # each measure as its surprise
            "kept_samples": _kept(scorer),
            "kept_whole": scorer.kept_samples is not None,  # not as codes
        },
        "training_samples": estimator.learned_ or None,
        "epochs": len(estimator.history_) if trained else 0,
        "best_epoch": epoch_as_json(estimator.best_epoch_) if trained else None,
        "held_out_errors": [epoch.held_out_error for epoch in estimator.history_] if trained else [],
        "seconds": sum(epoch.seconds for epoch in estimator.history_),
    }
    if calibration is not None:
        facts["calibration"] = {
            "threshold": calibration.threshold(),
            "false_alarm_rate": calibration.false_alarm_rate,
            "calibration_samples": len(calibration.scores),
            "held_out_samples": len(calibration.scores),  # the former name
            "independent_samples": estimator.independent_,
            "lowest_false_alarm_rate": 1 / (estimator.independent_ + 1),
        }
    described = estimator.spec_.features
    if described is not None:
        facts["features"] = {"name": described.name, "origin": described.origin, "photo": list(described.photo)}
        facts["features"]["kept"] = estimator.kind_.words.kept
    facts |= _of_memory(estimator)
    facts |= estimator.kind_.learned()
    facts |= {"options": estimator.get_params(), "data_sha256": estimator.checksum_, "versions": estimator.versions_}
    return facts


def _of_memory(estimator: Estimator) -> dict[str, Any]:
    scorer, memory, health = estimator.scorer_, estimator.scorer_.model.memory, estimator.health_
    if memory is None or health is None:
        return {}
    use, most = memory.use.tolist(), min(BUSIEST, len(memory.use))
    about = memory.about() | {"collapse": estimator.collapse_, "use": use}
    busiest = [
        {"item": item, "sample": kept_sample(scorer, estimator.examples_, item), "share": use[item]}
        for item in memory.use.argsort(descending=True, stable=True)[:most].tolist()
    ]
    return {"memory": asdict(health) | about | {"busiest": busiest}}


def _kept(scorer: Scorer) -> int:
    """Number of kept training samples, of their patches, or of their codes."""
    if isinstance(scorer.model.memory, PatchMemory):
        return len(scorer.model.memory.items)
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
    features = facts.get("features")
    sample = " × ".join(map(str, facts["network"]["shape"]))
    lines = [("kind", facts["kind"]), ("sample", sample), *_training_lines(facts)]
    if features is not None:
        film, seen = facts["kind"] == "video", " × ".join(map(str, features["photo"]))
        photo = f"a photo of any size, seen as one or several tiles of {seen}"
        lines[1] = ("sample", f"a frame, {seen}" if film else photo)
        of = "frame" if film else "tile"
        lines.insert(2, ("features", f"{features['name']}, pretrained and frozen: {sample} of a {of}"))
    if "columns" in facts:
        lines.insert(1, ("columns", ", ".join(column["name"] for column in facts["columns"])))
        left_out = [f"{each['name']} ({each['why']})" for each in facts["left_out"]]
        lines[2:2] = [("left out", ", ".join(left_out))] * bool(left_out)
    if "windows" in facts:
        windows = facts["windows"]
        of = f", of one {windows['group']} each" if windows["group"] else ""
        lines.insert(1, ("windows", f"of {windows['length']}, one every {windows['step']}{of}"))
    score = facts["score"]
    if len(score["weights"]) > 1:
        text = " + ".join(f"{weight:.4g} × {name}" for name, weight in score["weights"].items())
        if features is not None:
            text += ", each as its surprise in bits" * score["in_bits"]
        elif score["kept_samples"]:
            what = "training samples" if score["kept_whole"] else "codes of training samples"
            text += ", each as its surprise in bits" * score["in_bits"]
            text += f"; the model holds {score['kept_samples']:,} {what}"
        lines.append(("score", text))
    if "calibration" in facts:
        known = facts["calibration"]
        text = f"flags scores above {known['threshold']:.5g}: false-alarm rate {known['false_alarm_rate']:.3g}"
        samples, worth = known["calibration_samples"], known["independent_samples"]
        text += f" on {samples} normal samples" + f", worth {worth} independent ones" * (worth < samples)
        lines.append(("calibration", text))
    lines += _memory_lines(facts)
    lines += [
        ("data", f"sha256 {facts['data_sha256'][:16]}…"),
        ("versions", ", ".join(f"{name} {number}" for name, number in facts["versions"].items())),
    ]
    return lines


def _training_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    samples, best = facts["training_samples"], facts["best_epoch"]
    if best is None:
        kept = f"{facts['score']['kept_samples']:,}" + f" of {samples:,}" * bool(samples)
        if "features" in facts:
            of = "frames" if facts["kind"] == "video" else "photos"
            kept = f"{facts['score']['kept_samples']:,} {facts['features']['kept']}"
            kept += f" of {samples:,} {of}" * bool(samples)
            return [("training", f"none: {kept} are kept")]
        return [("training", f"none: {kept} samples are kept")]
    network = " - ".join(map(str, facts["network"]["widths"]))
    return [
        ("network", f"{network}, {facts['parameters']:,} parameters"),
        (
            "training",
            (f"{samples} samples, " if samples else "")
            + f"epoch {best['epoch']} of {facts['epochs']} kept, held-out error {best['held_out_error']:.5g}",
        ),
    ]


def _memory_lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    memory, spec = facts.get("memory"), facts["network"]["memory"]
    if memory is None or spec is None:
        return [("memory", "none: a plain autoencoder")]
    busiest = (f"{each['sample'] or 'item ' + str(each['item'])} {each['share']:.1%}" for each in memory["busiest"])
    read = f"reads {memory['survivors']:.1f} items ({memory['effective']:.1f} effective)"
    if facts["trained"]:
        about = f"{memory['items']} items, {spec['similarity']}, temperature {memory['temperature']:.4g}, "
        about += f"shrinkage {spec['shrinkage']:g}/N"
        used = f"{memory['in_use']} items; {memory['dead']} dead, {memory['duplicates']} duplicates"
        read += f"; {memory['fallback_rate']:.2%} find none above λ"
    else:
        what, done = (facts["features"]["kept"], "compared") if "features" in facts else ("samples", "restored")
        about = f"the {memory['items']:,} kept {what}, of which a query reads the nearest {memory['nearest']}"
        used = f"{memory['in_use']:,} of them when training {what} are {done}"
    return [
        ("memory", about),
        ("in use", used),
        *[("a query", read)] * ("nearest" not in memory or memory["nearest"] > 1),
        ("busiest", ", ".join(busiest)),
        ("health", memory["collapse"] or "well"),
    ]
