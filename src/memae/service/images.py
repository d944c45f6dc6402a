"""Pictures: files, decoded and scaled as everywhere in memae."""

from functools import partial
from pathlib import Path

from memae.data.pixels import IMAGE_SUFFIXES, header
from memae.estimators import ImageMemAE
from memae.evidence import Evidence
from memae.service.limits import Refused
from memae.service.served import Row, Served, Wanted, explained
from memae.service.uploads import Body, Upload, under_their_names


class ServedImages(Served[ImageMemAE]):
    """A detector for images."""

    suffixes = IMAGE_SUFFIXES
    takes = "PNG, JPEG, BMP or TIFF pictures"

    def score(self, body: Body, wanted: Wanted) -> list[Row]:
        """A row a picture."""
        uploads = self._checked(body)
        found: list[Row] = []
        with under_their_names(uploads):
            batches = self.estimator._raw([upload.path for upload in uploads])
            for judged in self.pieces(batches, wanted):
                part = uploads[len(found) : len(found) + len(judged.score)]
                found += judged.rows({"file": upload.name} for upload in part)
        return found

    def explain(self, body: Body, wanted: Wanted) -> list[Row]:
        """What each picture is taken for, and where it differs from that."""
        uploads = self._checked(body)
        uploads = [uploads[number] for number in self.to_explain(len(uploads), wanted)]
        found: list[Row] = []
        for start in range(0, len(uploads), self.chunk):
            part = uploads[start : start + self.chunk]
            paths = [upload.path for upload in part]
            with under_their_names(part):
                evidence = wanted.wait(self.worker.call(partial(self._evidence, paths, wanted.items)))
            found += [explained(each, {"file": upload.name}) for each, upload in zip(evidence, part, strict=True)]
        return found

    def about(self) -> Row:
        """The size that pictures are scaled to, or must have."""
        channels, height, width = self.estimator.shape_
        return {"channels": channels, "height": height, "width": width, "scaled": self.estimator.size is not None}

    def _evidence(self, paths: list[Path], items: int) -> list[Evidence]:
        return list(self.estimator.explain(paths, items=items))

    def _checked(self, body: Body) -> list[Upload]:
        """Pictures that may be decoded, judged by their headers."""
        uploads = self.files(body)
        self.limits.check_samples(len(uploads))
        for upload in uploads:
            with under_their_names([upload]):
                size = header(upload.path).size
            if size[0] * size[1] > self.limits.pixels:
                told = f"{upload.name} has {size[0] * size[1]:,} pixels, {self.limits.pixels:,} at most are decoded"
                raise Refused(413, f"{told}; scale it down")
            if self.estimator.size is None and size != tuple(self.estimator.shape_[1:]):
                expected = " x ".join(map(str, self.estimator.shape_[1:]))
                told = f"{upload.name} has {size[0]} x {size[1]} pixels (h x w), the model was fitted on {expected}"
                raise Refused(422, f"{told}; scale it, or fit with a size")
        return uploads
