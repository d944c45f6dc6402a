"""The commands of `python -m reproduction`."""

from recording.commands import Command, measuring, of_jobs
from reproduction import datasets, doctor, evaluate_video, figures, page
from reproduction.images import jobs as images
from reproduction.images import page as images_page
from reproduction.images import picture
from reproduction.table1.methods import TABLE as TABLE1
from reproduction.table2.methods import TABLE as TABLE2
from reproduction.table3.methods import TABLE as TABLE3
from reproduction.tables import Table
from reproduction.takes import command as takes
from reproduction.takes import page as takes_page

PAGE = "docs/reproduce.md"


def _of_table(table: Table) -> Command:
    return of_jobs(table.name, table.about, PAGE, table.add_options, table.chosen, page.render)


COMMANDS = (
    *map(_of_table, (TABLE1, TABLE2, TABLE3)),
    of_jobs("figures", "The paper's Figures 3 to 7.", PAGE, figures.add_options, figures.chosen, page.render),
    measuring(
        "takes",
        "What it takes to reach the paper's figures: a designed study of what it does not disclose.",
        "docs/takes.md",
        takes.add_options,
        takes.measure,
        takes_page.render,
    ),
    of_jobs(
        "images",
        "Photos of parts, and classes of images, beside methods over the same pretrained features.",
        "docs/quality.md",
        images.add_options,
        images.chosen,
        images_page.render,
    ),
    Command(
        "photos",
        "Draws docs/photos.png: defects of magnetic tiles, and where they are found.",
        picture.add_arguments,
        picture.main,
    ),
    Command(
        "evaluate-video",
        "Judges frame errors of any model on a video set, under each protocol.",
        evaluate_video.add_arguments,
        evaluate_video.main,
    ),
    Command(
        "doctor",
        "Reads all of a video set and says what is missing, unreadable or mislabelled.",
        doctor.add_arguments,
        doctor.main,
    ),
    Command(
        "fetch",
        "Downloads MNIST, CIFAR-10 or the tables of KEEL from where they are published, and checks them.",
        datasets.add_arguments,
        datasets.main,
    ),
)
