"""Served image models: image files, decoded and scaled as everywhere in memae."""

import operator
from collections.abc import Iterator, Sequence
from functools import partial

from memae.data.pixels import header
from memae.errors import SourceError, sentence
from memae.estimators import ImageMemAE
from memae.evidence import Evidence, Explainer
from memae.kinds import Notes, Part
from memae.service.limits import Refused
from memae.service.served import Answer, Row, ServedModel, Wanted, explained, rows_of
from memae.service.uploads import Body, Upload, under_their_names


class ServedImages(ServedModel[ImageMemAE]):
    """A detector for images. Files that cannot be read are listed in the answer; all others are scored."""

    def score(self, body: Body, wanted: Wanted) -> Answer:
        """One row per image."""
        uploads, notes = self._checked(body)
        given = {upload.path: upload for upload in uploads}
        found: list[Row] = []
        with under_their_names(uploads):
            for part in self._opened(uploads, notes):
                known = iter([{"file": given[path].name} for path in part.names["path"]])
                if self.estimator.kind_.tiled:
                    found += map(operator.or_, known, wanted.wait(self.worker.call(partial(self._photos, part))))
                    continue
                for judged in self.pieces([part.raw], wanted):
                    found += rows_of(judged, [next(known) for _ in judged.score])
        return self._answer(found, body, notes)

    def _photos(self, part: Part) -> list[Row]:
        """Scores photos, and tells where each is anomalous; the rows do not name them."""
        kind, scorer = self.estimator.kind_, self.estimator.scorer_
        found: list[Row] = []
        for scored in kind.scored(scorer, iter([part]), maps=True):
            rows = rows_of(scored.judged, [{} for _ in scored.judged.score])
            places = kind.located(scorer, scored)
            found += [
                row | {"regions": [each.as_json() for each in where.regions]}
                for row, where in zip(rows, places, strict=True)
            ]
        return found

    def explain(self, body: Body, wanted: Wanted) -> Answer:
        """The evidence for each image: reconstruction or regions, error map and memory items."""
        uploads = self.files(body)
        uploads = [uploads[number] for number in self.to_explain(len(uploads), wanted)]
        readable, notes = self._checked(uploads)
        found: list[Row] = []
        for start in range(0, len(readable), self.chunk):
            part = readable[start : start + self.chunk]
            with under_their_names(part):
                evidence = wanted.wait(self.worker.call(partial(self._evidence, part, wanted.items, notes)))
            found += [explained(each, {"file": upload.name}) for upload, each in evidence]
        return self._answer(found, uploads, notes)

    def _evidence(self, uploads: Sequence[Upload], items: int, notes: Notes) -> list[tuple[Upload, Evidence]]:
        explainer = Explainer(self.estimator.scorer_, self.estimator.examples_, items)
        given = {str(upload.path): upload for upload in uploads}
        found = self.estimator.kind_.explained(explainer, self._opened(uploads, notes))
        return [(given[each.name], each) for each in found]

    def _opened(self, uploads: Sequence[Upload], notes: Notes) -> Iterator[Part]:
        """The images that can be read; possibly none."""
        if not uploads:
            return
        try:
            yield from self.estimator.kind_.open([upload.path for upload in uploads], notes=notes)
        except SourceError:
            if any(upload.path not in notes.unread for upload in uploads):
                raise

    def _checked(self, body: Body) -> tuple[list[Upload], Notes]:
        """The images to decode, whose headers are within the limits, and notes on those whose headers are damaged."""
        uploads, notes = self.files(body), Notes()
        self.limits.check_samples(len(uploads))
        readable = []
        for upload in uploads:
            with under_their_names([upload]):
                try:
                    size = header(upload.path).size
                except SourceError as error:
                    notes.unread[upload.path] = str(error)
                    continue
            self._check_size(upload, size)
            readable.append(upload)
        return readable, notes

    def _check_size(self, upload: Upload, size: tuple[int, int]) -> None:
        if size[0] * size[1] > self.limits.pixels:
            message = f"{upload.name} has {size[0] * size[1]:,} pixels, {self.limits.pixels:,} at most are decoded"
            raise Refused(413, f"{message}; scale it down")
        expected = tuple(self.estimator.shape_[1:])
        if not (self.estimator.kind_.tiled or self.estimator.size is not None or size == expected):
            message = f"{upload.name} has {size[0]} x {size[1]} pixels (h x w), the model was fitted on "
            raise Refused(422, f"{message}{' x '.join(map(str, expected))}; scale it, or fit with a size")

    def _answer(self, found: list[Row], body: Body, notes: Notes) -> Answer:
        """The rows found, and the files that could not be read, by their names as sent.

        Raises:
            Refused: no file could be read.
        """
        unread: list[Row] = [
            {"sample": number, "file": upload.name, "reason": _named(notes.unread[upload.path], upload)}
            for number, upload in enumerate(self.files(body))
            if upload.path in notes.unread
        ]
        if not found:
            raise Refused(422, unread[0]["reason"])
        return Answer(found, unread)


def _named(reason: str, upload: Upload) -> str:
    return sentence(SourceError(reason.replace(str(upload.path), upload.name)))
