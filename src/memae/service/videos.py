"""Served video models: each frame is scored by the clip around it."""

from collections.abc import Iterator, Sequence
from itertools import islice

import av
from torch import Tensor

from memae.data.ahead import ahead
from memae.data.videos import frame_blocks
from memae.estimators import VideoMemAE
from memae.evidence import Evidence, Explainer
from memae.kinds import Scored
from memae.kinds.following import Footage
from memae.kinds.pixel_units import check_unit
from memae.scoring.calibration import Judged
from memae.service.limits import Refused
from memae.service.served import Answer, Row, ServedModel, Wanted, explained, rows_of
from memae.service.uploads import Body, Upload, under_their_names

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,asf,mpeg,mpegts,mpegvideo,m4v"
"""FFmpeg formats that are accepted. Others, such as playlists, would make FFmpeg open the files they name."""


class ServedVideos(ServedModel[VideoMemAE]):
    """A detector for video. A video is decoded and scored in the worker's thread, not batched with others."""

    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row per frame."""
        upload = self._checked(body)
        found: list[Row] = []
        for part in wanted.wait(self.worker.call(lambda: self._frames(upload, wanted))):
            frames = zip(part.names["frame"], part.names["time"], strict=True)
            found += rows_of(part.judged, ({"frame": frame, "time": time} for frame, time in frames))
        return Answer(found)

    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """The evidence for the requested frames, by default for that with the highest score."""
        upload = self._checked(body)
        # the number of frames is only known once they are decoded
        numbers = self.to_explain(max(wanted.only) + 1, wanted) if wanted.only else []
        evidence = wanted.wait(self.worker.call(lambda: self._evidence(upload, numbers, wanted)))
        return Answer([explained(each, {"frame": frame, "time": time}) for frame, time, each in evidence])

    def _frames(self, upload: Upload, wanted: Wanted) -> list[Scored]:
        kind = self.estimator.kind_
        with under_their_names([upload]):
            return list(kind.scored(self.estimator.scorer_, kind.parts(self._footage(upload, wanted, []))))

    def _evidence(self, upload: Upload, numbers: Sequence[int], wanted: Wanted) -> list[tuple[int, float, Evidence]]:
        """Number, time and evidence of frames; decoding stops when the last of them is explained."""
        if not numbers:
            judged = Judged.joined(part.judged for part in self._frames(upload, wanted))
            numbers = [int(judged.score.numpy().argmax())]
        times: list[float] = []
        explainer = Explainer(self.estimator.scorer_, self.estimator.examples_, wanted.items)
        kind = self.estimator.kind_
        with under_their_names([upload]):
            parts = kind.parts(self._footage(upload, wanted, times))
            found = list(islice(kind.explained(explainer, parts, numbers), len(numbers)))
        if len(found) < len(numbers):
            outside = numbers[len(found)]
            raise Refused(422, f"sample={outside} is asked for; {upload.name} has the frames 0 to {len(times) - 1}")
        return [(number, times[number], each) for number, each in zip(numbers, found, strict=True)]

    def _footage(self, upload: Upload, wanted: Wanted, times: list[float]) -> Footage:
        """The frames of a video, within the limits of number and time; their times are appended to `times`."""

        def blocks() -> Iterator[tuple[Tensor, Tensor]]:
            read = frame_blocks(upload.path, channels=self.estimator.channels, size=self.estimator.size_)
            for frames, seconds in ahead(read):
                wanted.deadline.left()
                times.extend(seconds.tolist())
                self.limits.check_samples(len(times))
                yield frames, seconds

        return Footage(upload.path, blocks())

    def _checked(self, body: Body) -> Upload:
        """The video of a request; raises Refused if its header is damaged or exceeds the limits."""
        uploads = self.files(body)
        if len(uploads) != 1:
            raise Refused(422, f"{len(uploads)} videos are given; send one at a time")
        with under_their_names(uploads):
            check_unit(self.estimator.unit_, uploads[0].path)
        self._check_header(uploads[0])
        return uploads[0]

    def _check_header(self, upload: Upload) -> None:
        try:
            with av.open(
                f"file:{upload.path}", options={"format_whitelist": CONTAINERS}, metadata_errors="replace"
            ) as file:
                sizes = [(stream.width, stream.height) for stream in file.streams.video if stream.codec_context]
        except (av.FFmpegError, OSError) as error:
            message = f"{upload.name} is damaged, cut off or not a video of a supported kind: {self.takes}"
            raise Refused(422, f"{message}; record or convert it again") from error
        for width, height in sizes:
            if width * height > self.limits.pixels:
                message = (
                    f"{upload.name} has frames of {width * height:,} pixels, {self.limits.pixels:,} at most are decoded"
                )
                raise Refused(413, f"{message}; scale it down")
