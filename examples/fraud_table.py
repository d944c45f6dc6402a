"""Card payments: finds the unusual ones, explains them, and controls the number of false alarms.

    python examples/fraud_table.py                      # generated payments
    python examples/fraud_table.py normal.csv new.csv   # your own

The model is fitted on normal payments only. A column `fraud` (0, 1) is not learned, only used to check the results.
"""

import sys

import numpy as np
import pandas as pd

from memae import TabularMemAE
from memae.metrics import auroc

SHOPS = pd.DataFrame(  # typical amount and hour
    {"amount": [30, 60, 45, 15, 400], "hour": [17, 11, 20, 12, 14]},
    index=["grocery", "fuel", "restaurant", "bakery", "jewellery"],
)


def payments(count, frauds, seed):
    """A table of payments: amounts, categories and missing values; the last rows are frauds."""
    rng = np.random.default_rng(seed)
    shop = SHOPS.index[rng.choice(5, count, p=[0.4, 0.2, 0.2, 0.17, 0.03])]
    online = rng.random(count) < 0.2
    table = pd.DataFrame({
        "amount": (SHOPS["amount"][shop].to_numpy() * rng.lognormal(0, 0.4, count)).round(2),
        "hour": (SHOPS["hour"][shop].to_numpy() + rng.normal(0, 2, count)).round() % 24,
        "shop": shop,
        "device": np.where(online, rng.choice(["phone", "laptop"], count), "card"),
        "country": rng.choice(["home", "near", "far"], count, p=[0.95, 0.04, 0.01]),
        "km_from_home": np.where(online, np.nan, rng.gamma(2, 5, count).round(1)),  # unknown for online payments
        "days_since_last": rng.exponential(2, count).round(2),
        "fraud": 0,
    })  # fmt: skip
    for row in range(count - frauds, count):  # each value alone is normal, their combination is not
        kind = rng.choice(["cloned", "tested"])
        if kind == "cloned":
            values = {"shop": "bakery", "amount": round(rng.uniform(150, 500), 2), "country": "far", "device": "card"}
        else:
            values = {"shop": "fuel", "amount": round(rng.uniform(1, 5), 2), "hour": 3.0, "days_since_last": 0.01}
        table.loc[row, list(values)] = list(values.values())
        table.loc[row, "fraud"] = 1
    return table


def rounded(value):
    """A value with four significant digits if it is a float."""
    return f"{value:.4g}" if isinstance(value, float) else value


def main(normal, new):
    """Fits, scores, flags and explains."""
    detector = TabularMemAE(ignore=["fraud"]).fit(normal)
    scores = detector.anomaly_score(new)
    flagged = {
        "5 % of the normal ones may be flagged": detector.predict(new) == -1,
        "1 % of the normal ones": detector.recalibrate(false_alarm_rate=0.01).predict(new) == -1,
        "10 % of the flagged ones may be normal": detector.discoveries(new, rate=0.1),
    }
    if "fraud" in new:
        print(f"AUROC {auroc(new['fraud'].to_numpy(), scores):.3f} on {len(new)} payments, {new['fraud'].sum()} frauds")
    for rule, rows in flagged.items():
        known = f", {new['fraud'][rows].sum()} of them frauds" if "fraud" in new else ""
        print(f"{rule}: {rows.sum()} flagged{known}")
    for row in np.argsort(-scores)[:3]:
        [evidence] = detector.explain(new, only=[int(row)])
        print(f"\n{evidence.name}: score {evidence.score:.2f}, p-value {evidence.p_value:.4f}")
        for part in evidence.contributions[:3]:
            print(f"  {part.share:4.0%} {part.column} is {part.value}, where {rounded(part.expected)} is expected")


if __name__ == "__main__":
    tables = [pd.read_csv(path) for path in sys.argv[1:]] or [payments(6000, 0, seed=1), payments(2000, 40, seed=2)]
    main(*tables)
