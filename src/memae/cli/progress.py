"""Progress of a training: a bar on a terminal, some lines elsewhere, and entries in logs."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from memae.cli.logs import Log
from memae.options import Epoch, Step


def followed(events: Iterator[Step | Epoch], epochs: int | None, logs: Sequence[Log] = ()) -> Iterator[str]:
    """Consumes all events and shows them; yields lines to print if there is no terminal.

    Args:
        events: of a training.
        epochs: maximum number of epochs; None if nothing is trained, which takes no time worth a line.
        logs: receive each epoch.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=epochs, text="")
        held = ""
        for event in events:
            if isinstance(event, Step):
                done = event.epoch - 1 + event.step / event.steps
                # without a memory, or before its items are initialised, there is nothing to show
                memory = f" entropy {event.entropy:.2f} items {event.in_use}" if event.in_use else ""
                text = f"loss {event.loss:.4g}{held}{memory}"
                progress.update(task, completed=done, description=f"epoch {event.epoch}/{epochs}", text=text)
                continue
            held = f" held-out {event.held_out_error:.4g}"
            for log in logs:
                log.add(event)
            if epochs is None or console.is_terminal:
                continue
            if event.epoch % max(1, epochs // 10) == 0 or event.epoch == epochs:
                yield _line(event, epochs)
        progress.update(task, total=epochs or 1, completed=epochs or 1)


def _line(epoch: Epoch, epochs: int) -> str:
    text = f"epoch {epoch.epoch}/{epochs}: loss {epoch.loss:.4g}, held-out {epoch.held_out_error:.4g}"
    if epoch.health:
        text += f", entropy {epoch.entropy:.2f}, items {epoch.health.in_use}/{epoch.health.items}"
        text += f", {epoch.health.effective:.1f} a query"
    return f"{text}, {epoch.seconds:.1f} s"
