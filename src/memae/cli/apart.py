"""What a command reads is never what it writes over."""

from pathlib import Path


def check_apart(output: Path | None, *given: Path) -> None:
    """Refuses, before anything is computed, to write over what is read, and where nothing can be written.

    Args:
        output: file to write; None for none.
        given: files and folders that are read. In a folder, images and videos that are there count as read.

    Raises:
        OptionError: the output is one of them.
        OutputError: see `memae.files.check_writable`.
    """
    from memae.data.pixels import is_image
    from memae.data.videos import is_video
    from memae.errors import OptionError
    from memae.files import check_writable

    if output is None:
        return
    check_writable(output)
    if not output.exists():
        return
    for source in given:
        inside = source.is_dir() and source.resolve() in output.resolve().parents
        if (source.exists() and output.samefile(source)) or (inside and (is_image(output) or is_video(output))):
            raise OptionError(f"{output} is read by this command and would be overwritten; give another file to write")
