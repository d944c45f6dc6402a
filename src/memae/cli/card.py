"""A model card in Markdown: what a reviewer must know before trusting a model, without any single value of its data.

References:
    Mitchell et al., Model Cards for Model Reporting, FAT* 2019, https://arxiv.org/abs/1810.03993
"""

import math
import textwrap
from collections.abc import Iterator
from typing import Any

from memae.cli.inspect import describe
from memae.data.column import Column
from memae.estimators import Estimator
from memae.kinds import Words
from memae.scoring.drift import promised_band

LISTED = 60
"""Maximum number of table columns that a card lists."""
NEXT = 10_000
"""Number of new samples for which the expected range of flags is stated."""
WIDTH = 110
"""Characters per line, so that the raw Markdown is readable."""


def card(estimator: Estimator, name: str) -> str:
    """The model card of a fitted estimator, Markdown.

    Args:
        estimator: a fitted estimator.
        name: name of its model file.
    """
    facts, words = describe(estimator), estimator.kind_.words
    about = (
        f"{_kind(facts, words)}, fitted by memae to {words.data} taken for normal. It gives each {words.one} a score, "
        "higher for the more unusual, a p-value, and a flag."
    )
    sections = {
        f"Model card: {name}": iter([about]),
        "Intended use": _use(words),
        "Training data": _training(facts, words),
        "How a score is made": _score(facts, words),
        "What is flagged, and what that promises": _promise(estimator, words),
        "The memory": _memory(facts, words),
        "What the file holds of the data": _held(estimator, facts, words),
        "Limits": _limits(estimator, words),
        "Where it comes from": _origin(estimator, facts),
    }
    written = (f"## {title}\n\n" + "\n".join(map(_wrapped, lines)) + "\n" for title, lines in sections.items())
    return "\n".join(written)[1:]  # the first title is that of the page


def _wrapped(line: str) -> str:
    if line.startswith("|"):
        return line
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _kind(facts: dict[str, Any], words: Words) -> str:
    if not facts["trained"]:
        if "features" in facts:
            return f"A memory of kept {words.kept} of {words.many}, as a pretrained network describes them"
        return f"A memory of kept {words.many} (MemAE without a trained network)"
    return "A memory-augmented autoencoder (MemAE)" if facts["network"]["memory"] else "A plain autoencoder"


def _use(words: Words) -> Iterator[str]:
    yield f"- To point people to {words.many} that are unlike those it has learned, and to show them why."
    yield f"- For {words.many} of the same source as the training data. If the source changes, refit or recalibrate it."
    yield (
        "- Not for decisions on its own: what is flagged is unusual, which is neither wrong nor harmful, and what is "
        "not flagged is not proven right. A p-value is not the probability that a sample is normal."
    )


def _training(facts: dict[str, Any], words: Words) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    calibrating = facts["calibration"]["calibration_samples"]
    if facts["trained"]:
        if facts["training_samples"]:
            yield f"| learned | {facts['training_samples']:,} {words.learned} |"
        yield f"| held out, to choose the epoch and to calibrate | {calibrating:,} {words.many} |"
    else:
        if facts["training_samples"]:
            yield f"| read | {facts['training_samples']:,} {words.many} |"
        of = words.kept if "features" in facts else words.learned
        yield f"| kept as the memory | {facts['score']['kept_samples']:,} {of} |"
        yield f"| used to calibrate | {calibrating:,} {words.many}, each scored {words.apart} |"
    yield f"| labels | none were used: all {words.many} given were taken for normal |"
    if facts["options"].get("contamination"):
        yield f"| left out as unlike the others | {facts['options']['contamination']:.3g} of the rows |"
    for each in facts.get("left_out", ()):
        yield f"| left out of every row | `{_cell(each['name'])}`, since it {each['why']} |"
    yield f"| a sample, as it is scored | {' × '.join(map(str, facts['network']['shape']))} |"
    if "features" in facts:
        seen = " × ".join(map(str, facts["features"]["photo"]))
        yield f"| features | {facts['features']['origin']}, unchanged; it sees {seen} |"
    yield f"| SHA-256 of the training data | `{facts['data_sha256']}` |"
    if "columns" in facts:
        yield ""
        yield from _columns([Column(**column) for column in facts["columns"]])


def _cell(name: str) -> str:
    """A column's name as code in a Markdown table."""
    return " ".join(name.split()).replace("|", "\\|").replace("`", "'")


def _columns(columns: list[Column]) -> Iterator[str]:
    yield "| column | holds | missing in training |"
    yield "|---|---|---|"
    for column in columns[:LISTED]:
        kinds = {"number": "numbers", "hour": "hours of the day"}
        kind = kinds.get(column.kind, f"{len(column.categories)} categories")
        kind += f", {column.rare} more not told apart" if column.rare else ""
        kind = "one value alone" if column.constant else kind
        yield f"| `{_cell(column.name)}` | {kind} | {column.missing or 'none'} |"
    if len(columns) > LISTED:
        yield f"| … | {len(columns) - LISTED} more columns | |"


def _score(facts: dict[str, Any], words: Words) -> Iterator[str]:
    score = facts["score"]
    (name, *others) = score["weights"]
    if not others and name != "error":
        yield f"It is {words.measures[name]}."
        return
    if not others:
        yield f"It is the reconstruction error, {score['reduction']} over a sample's elements (Gong et al., Eq. 8)."
        return
    highest = (
        f". That of a {words.one} is the sum at its most anomalous position, smoothed" if score["by_position"] else ""
    )
    yield f"It is a weighted sum; {_unit(score, words)}{highest}."
    yield ""
    yield "| part | weight | what it measures |"
    yield "|---|---|---|"
    for name, weight in score["weights"].items():
        plainly = name == "error" and score["measures"][0] == "Error"
        yield f"| {name} | {weight:.4g} | {'the reconstruction error' if plainly else words.measures[name]} |"


def _unit(score: dict[str, Any], words: Words) -> str:
    """What makes the parts comparable."""
    if score["in_bits"]:
        return (
            f"each part counts in bits of surprise, 1 bit for a value that half of the normal {words.many} exceed, 2 "
            "for a quarter, and so on"
        )
    return "the weights put each part in units of its spread on held-out normal data"


def _promise(estimator: Estimator, words: Words) -> Iterator[str]:
    calibration, worth = estimator.calibration_, estimator.independent_
    rate, (low, high) = calibration.false_alarm_rate, promised_band(calibration, NEXT, independent=worth)
    yield (
        f"Scores above **{calibration.threshold():.6g}** are flagged, that is p-values of at most {rate:.3g}, given "
        f"the scores of {len(calibration.scores):,} normal {words.many}, the calibration (conformal p-values; Bates et "
        "al., 2023)."
    )
    yield ""
    yield (
        f"**The promise:** if new normal {words.many} are exchangeable with those of the calibration, each is flagged "
        f"with a probability of at most {rate:.3g}. How many this model flags depends on which {words.many} happened "
        f"to be among these: of {NEXT:,} new normal ones {low:.2%} to {high:.2%}, with a probability of 95 %. The "
        f"lowest rate that so many {words.many} can promise is {1 / (worth + 1):.2g}."
    )
    if estimator.correlated:
        yield ""
        yield (
            f"Consecutive {words.many} are alike: by their correlation time, those of the calibration count as "
            f"{worth:,} independent ones here. On another day the promise is weaker, see Limits."
        )
    yield ""
    yield (
        "How many anomalies are found is not promised, since it depends on the anomalies: `memae evaluate` measures "
        "it on labelled data."
    )


def _memory(facts: dict[str, Any], words: Words) -> Iterator[str]:
    memory = facts.get("memory")
    if memory is None:
        yield "None: a plain autoencoder may restore anomalies as well as what is normal."
        return
    if "features" in facts:
        yield (
            f"{memory['items']:,} kept {words.kept} of normal {words.many}, spread out over all that were seen. Each "
            f"place of a new {words.one} is compared with the nearest of them; nothing is "
            f"restored. {memory['in_use']:,} are the nearest to some place of the training {words.many}; the "
            f"most used one to {memory['top_share']:.1%}."
        )
        return
    if not facts["trained"]:
        yield (
            f"{memory['items']:,} kept {words.many}. Each new one is restored from the {memory['nearest']} that are "
            f"nearest to it ({memory['effective']:.1f} effective, by their weights). {memory['in_use']:,} are read "
            f"when the training {words.many} are restored; the most used one has {memory['top_share']:.1%} of all "
            "weight."
        )
        return
    yield (
        f"{memory['items']} items: {memory['in_use']} in use, {memory['dead']} dead (never read), "
        f"{memory['duplicates']} duplicates. A query reads {memory['effective']:.1f} of them (effective number), and "
        f"{memory['fallback_rate']:.2%} of the queries find none above the threshold λ. The most used item has "
        f"{memory['top_share']:.1%} of all addressing weight. Verdict: {memory['collapse'] or 'well'}."
    )


def _held(estimator: Estimator, facts: dict[str, Any], words: Words) -> Iterator[str]:
    score, kept = facts["score"], estimator.examples_
    yield "It is a safetensors file with a JSON header and cannot run code. Whoever has it can read:"
    yield ""
    trained = facts["trained"]
    yield f"- the scores of the {facts['calibration']['calibration_samples']:,} {words.many} of the calibration;"
    if "columns" in facts:
        yield "- each column's name; for numbers mean, spread, minimum, maximum; for text the values and their shares;"
    if score["kept_whole"]:
        less = "keeps none" if trained else "keeps none, but trains a network"
        yield f"- **{score['kept_samples']:,} rows of the training data**, encoded (`kept_samples=0` {less});"
    elif "features" in facts:
        yield f"- features of {score['kept_samples']:,} {words.kept} of the training data;"
        yield f"- the weights of {facts['features']['name']}, which hold nothing of the data;"
    elif score["kept_samples"]:
        yield f"- codes of training data, {score['kept_samples']:,} (`kept_samples=0` keeps none);"
    if kept is not None:
        what = "row numbers" if kept.thumbnails is None else "**small pictures and names**"
        less = " (`keep_examples=False` keeps none)" * (kept.thumbnails is not None or trained)
        of = f"these {words.kept}" if "features" in facts else f"{len(kept.names):,} training samples"
        yield f"- {what} of {of}, to explain with{less};"
    if trained:
        yield "- weights and memory items, from which some of what was learned could be restored."
    else:
        yield f"- {words.measured_with}."


def _limits(estimator: Estimator, words: Words) -> Iterator[str]:
    yield (
        f"- It knows what was in the training data: normal {words.many} that were rare or absent there are flagged, "
        "and anomalies that were among them count as normal."
    )
    yield "- Whether it treats groups of people alike was not tested; if samples are about people, test it before use."
    for limit in words.limits:
        yield f"- {limit}"
    most = estimator.scorer_.scaling.limit
    if math.isfinite(most):
        yield f"- Numbers are clamped to ±{most:g} standard deviations; beyond that, the score does not rise."


def _origin(estimator: Estimator, facts: dict[str, Any]) -> Iterator[str]:
    fitted, seconds = f"- Fitted as `{' '.join(repr(estimator).split())}`", facts["seconds"]
    if facts["trained"]:
        yield (
            f"{fitted}: {facts['parameters']:,} parameters, {seconds:.1f} s of training; of {facts['epochs']} epochs, "
            f"number {facts['best_epoch']['epoch']} was kept."
        )
    else:
        yield f"{fitted} in {seconds:.1f} s; nothing was trained."
    yield f"- Versions: {', '.join(f'{name} {number}' for name, number in sorted(facts['versions'].items()))}."
    yield (
        "- Method: Gong et al., Memorizing Normality to Detect Anomaly, ICCV 2019; memae's docs/method.md lists every "
        "departure."
    )
    yield (
        "- Licence: memae is under Apache-2.0. The file states no licence for the model; that is for the owner of its "
        "training data to give."
    )
