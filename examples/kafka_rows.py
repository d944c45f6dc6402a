"""Scores rows of JSON from one Kafka topic into another: `python examples/kafka_rows.py model.memae host:9092 in out`.

Each row is scored at least once: offsets are committed after its score is delivered, so key the results by id. Needs
confluent-kafka.
"""

import json
import sys
from typing import Any

import pandas as pd

from memae.parallel import Scoring


def step(consumer: Any, producer: Any, score: Scoring, target: str) -> int:
    """Polls, scores, produces and commits, in this order; the number of rows."""
    messages = [message for message in consumer.consume(1000, timeout=1.0) if not message.error()]
    if not messages:
        return 0
    lost: list[object] = []
    rows = pd.DataFrame([json.loads(message.value()) for message in messages])
    for found in json.loads(score(rows).to_json(orient="records")):
        producer.produce(
            target,
            json.dumps(found),
            key=str(found["id"]),
            on_delivery=lambda error, _: lost.append(error) if error else None,
        )
    left = producer.flush()
    if lost or left:
        raise RuntimeError(f"{len(lost) + left} of {len(rows)} scores were not delivered ({lost[:1]}); start again")
    consumer.commit(asynchronous=False)
    return len(rows)


def main(model: str, server: str, source: str, target: str) -> None:
    """Steps for ever."""
    from confluent_kafka import Consumer, Producer

    score = Scoring(model, keep=["id"], on_bad="row")  # a bad row becomes a reason and stops nothing
    consumer = Consumer({"bootstrap.servers": server, "group.id": "memae", "enable.auto.commit": False})
    producer = Producer({"bootstrap.servers": server})
    consumer.subscribe([source])
    while True:
        step(consumer, producer, score, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
