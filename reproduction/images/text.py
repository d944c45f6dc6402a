"""Words of the part of docs/quality.md on images."""

from reproduction.images.detectors import SIZE

INTRODUCTION = [
    "## Images that users judge by",
    "",
    "Photos of parts: good ones to learn from, and a test with good and defective ones. The compared methods get the "
    f"same features as ours by default: those of EfficientNet-Lite0, frozen, for photos scaled to {SIZE} × {SIZE}, at "
    "1/16 and 1/32 of the size. *PatchCore* and *PaDiM* are written here after their papers, and differ from them in "
    "this network; the two methods on pooled features tell no place.",
    "",
    "AUROC is that of the photos, pixel AUROC that of all pixels of the test at the photos' own sizes, and PRO the "
    "per-region overlap of MVTec AD up to 30 % false positives. ± is the standard deviation over the seeds: a seed "
    "samples what a method samples, the split into training and test is the publisher's. Seconds and milliseconds are "
    "CPU time on one thread, with reading the files; MiB is the highest memory of the process, of which Python, "
    "torch and memae alone take about 400; MB to store include the weights of the network.",
]
ABOUT = {
    "magnetic_tiles": (
        " The masks of *uneven* and *break* cover whole regions, of which often only the edge looks unusual, so that "
        "blowholes and cracks have a figure of their own."
    )
}
"""What has to be known of a set."""
