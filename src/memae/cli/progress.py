"""Shows a training as it goes: a bar on a terminal, a line now and then elsewhere, and in logs."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from memae.cli.logs import Log
from memae.options import Epoch, Step


def followed(events: Iterator[Step | Epoch], epochs: int, logs: Sequence[Log] = ()) -> Iterator[str]:
    """Passes through all events, showing them; gives the lines to print where there is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=float(epochs), text="")
        held = ""
        for event in events:
            if isinstance(event, Step):
                done = event.epoch - 1 + event.step / event.steps
                # without a memory, or before its items are set, there is nothing to say of it
                memory = f" entropy {event.entropy:.2f} items {event.in_use}" if event.in_use else ""
                text = f"loss {event.loss:.4g}{held}{memory}"
                progress.update(task, completed=done, description=f"epoch {event.epoch}/{epochs}", text=text)
                continue
            held = f" held-out {event.held_out_error:.4g}"
            for log in logs:
                log.add(event)
            every = max(1, epochs // 10)
            if not console.is_terminal and (event.epoch % every == 0 or event.epoch == epochs):
                yield _line(event, epochs)
        progress.update(task, completed=float(epochs))


def _line(epoch: Epoch, epochs: int) -> str:
    told = f"epoch {epoch.epoch}/{epochs}: loss {epoch.loss:.4g}, held-out {epoch.held_out_error:.4g}"
    if epoch.health:
        told += f", entropy {epoch.entropy:.2f}, items {epoch.health.in_use}/{epoch.health.items}"
        told += f", {epoch.health.effective:.1f} a query"
    return f"{told}, {epoch.seconds:.1f} s"
