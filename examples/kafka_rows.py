"""Scores rows of JSON from one Kafka topic into another: `python examples/kafka_rows.py model.memae host:9092 in out`.

Each row is scored at least once: offsets are committed after its score is delivered, so key the results by id. Needs
confluent-kafka.
"""

import json
import sys

import pandas as pd

from memae.parallel import Scoring

model, server, source, target = sys.argv[1:]


def main() -> None:
    """Polls, scores, produces, commits."""
    from confluent_kafka import Consumer, Producer

    score = Scoring(model, keep=["id"], on_bad="row")  # a bad row becomes a reason and stops nothing
    consumer = Consumer({"bootstrap.servers": server, "group.id": "memae", "enable.auto.commit": False})
    producer = Producer({"bootstrap.servers": server})
    consumer.subscribe([source])
    while True:
        messages = [message for message in consumer.consume(1000, timeout=1.0) if not message.error()]
        if not messages:
            continue
        rows = pd.DataFrame([json.loads(message.value()) for message in messages])
        for found in json.loads(score(rows).to_json(orient="records")):
            producer.produce(target, json.dumps(found), key=str(found["id"]))
        producer.flush()
        consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main()
