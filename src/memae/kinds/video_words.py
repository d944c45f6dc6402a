"""Words for the frames of videos in texts for users."""

from memae.kinds.kind import Words

CHOSEN = "The peaks of the highest alarms and, if there are few, of videos without alarms; the highest first. "
"""Which frames a report explains."""
ANOTHER_DAY = (
    "Neighbouring frames are alike: what calibrates a model counts as the few independent stretches that it is worth. "
    "At another time or site the p-value is a guide, not a guarantee: measure the false-alarm rate there before "
    "relying on it."
)
OTHERS = (
    "Frames of another day may lie above it more often than promised: recalibrate with normal videos of such a day."
)

FRAMES = Words(
    data="video",
    one="frame",
    many="frames",
    learned="frames",
    measures={
        "distance": "how far its places look from the nearest kept ones of normal frames; the farthest count most"
    },
    chosen=CHOSEN,
    limits=(
        "The camera must stand as in training and keep its aspect ratio: from another height or distance, people have "
        "another size. The light of a whole frame and the frame rate do not count; a shadow of an unseen shape does.",
        "It judges how places look, one frame at a time, and not how they move: someone who looks like the others but "
        "runs, or goes the wrong way, is found only where posture shows it.",
        "Places are compared wherever they lie: what is normal in one part of the frame is not flagged in another.",
        "Someone who covers less than a few pixels may be missed.",
        ANOTHER_DAY,
    ),
    kept="places",
    where="frame",
    apart="by a memory without its video (of a single video: without the stretch it lies in)",
    measured_with="mean and spread of the features of training frames, and their light",
    caution="The threshold comes from parts of the training videos that were left out of the memory. " + OTHERS,
)
"""Of frames whose places are compared with kept ones."""

CLIPS = Words(
    data="video",
    one="frame",
    many="frames",
    learned="clips",
    measures={
        "error": "how badly the motion at a position is restored from memory",
        "surprise": "the odds, predicted from the memory read-out, that a position plays at another speed than "
        "recorded",
        "distance": "the distance of a position's code to the nearest kept codes",
    },
    chosen=CHOSEN,
    limits=(
        "The camera must stand as in training and record at the same frame rate: at half the rate everyone is twice as "
        "fast.",
        "The held-out frames are the ends of the training videos, which are most like what was learned. " + ANOTHER_DAY,
    ),
    caution="The threshold comes from the ends of the training videos. " + OTHERS,
)
"""Of clips that a trained network restores from memory."""
