"""A client of `memae serve` that needs nothing but Python: asks for scores and explanations.

    python examples/service.py                                            # starts a service of its own, and stops it
    memae serve model.memae                                               # or start yours …
    python examples/service.py http://127.0.0.1:8000 rows.csv [TOKEN]     # … and send it rows of a table

Prints the flagged rows with the highest scores, and the columns that contribute most.
"""

import csv
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PATIENCE = 5  # attempts while the service is busy


def ask(address, path, rows, token=None):
    """Sends rows and returns the answer; a busy service is asked again after the time that it names."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(address + path, json.dumps({"rows": rows}).encode(), headers)
    for attempt in range(PATIENCE):
        try:
            with urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except HTTPError as error:
            if error.code not in (429, 503) or attempt == PATIENCE - 1:
                raise SystemExit(f"{error.code}: {json.load(error)['error']}") from error
            time.sleep(float(error.headers.get("Retry-After", 1)))
    return None


def main(address, rows, token=None):
    """Scores all rows in one request, and asks for explanations of the highest."""
    answer = ask(address, "/score", rows, token)
    flagged = [sample["row"] for sample in answer["samples"] if sample["is_anomaly"]]
    print(f"{answer['model']}: {len(flagged)} of {len(rows)} rows score above {answer['threshold']:.4g}")
    worst = sorted(flagged, key=lambda row: -answer["samples"][row]["score"])[:5]
    for sample in ask(address, "/explain", [rows[row] for row in worst], token)["samples"] if worst else ():
        reasons = ", ".join(f"{each['column']} {each['share']:.0%}" for each in sample["contributions"][:3])
        print(f"row {worst[sample['row']]}: score {sample['score']:.4g}, p-value {sample['p_value']:.3g}: {reasons}")


@contextmanager
def own():
    """The address of a service with a model of benign tumours, and rows of tumours to score."""
    from sklearn.datasets import load_breast_cancer

    from memae import TabularMemAE

    table, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    with TemporaryDirectory() as folder:
        model = Path(folder) / "tumours.memae"
        TabularMemAE().fit(table[benign == 1][:300]).save(model)
        command = [Path(sys.executable).parent / "memae", "serve", model, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            yield process.stderr.readline().split(" at ")[1].split()[0], table[300:].to_dict("records")
            process.terminate()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        with Path(sys.argv[2]).open(newline="") as file:
            cells = [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
        main(sys.argv[1], cells, *sys.argv[3:])
    else:
        with own() as (address, rows):
            main(address, rows)
