"""Errors that say where: the path to the value, and on reading the byte."""

from typing import NoReturn

from distchan.errors import DecodeError, EncodeError

__all__ = [
    "GobDecodeError",
    "GobEncodeError",
    "decoding_failed",
    "does_not_fit",
    "encoding_failed",
    "wrong_type",
]


class GobEncodeError(EncodeError):
    """A value that gob, or the type it should have, cannot express."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        #: What is wrong.
        self.reason = reason
        #: Where: ``Job.items[3].id``. Empty if it is the value itself, of a type without a name.
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class GobDecodeError(DecodeError):
    """Bytes that are no gob, exceed a limit, or do not fit the type that is expected."""

    def __init__(self, reason: str, offset: int = -1, path: str = "") -> None:
        super().__init__(reason, offset, path)
        #: What is wrong.
        self.reason = reason
        #: At which byte of the data; -1 if no byte is to blame.
        self.offset = offset
        #: Where, in the names of the bytes: ``Job.Items[3].Id``. Empty if it is the value itself,
        #: of a type without a name.
        self.path = path

    def __str__(self) -> str:
        text = f"{self.path}: {self.reason}" if self.path else self.reason
        return text if self.offset < 0 else f"{text} (at byte {self.offset})"


def wrong_type(expected: str, value: object) -> GobEncodeError:
    """The error for a value of another type than is expected."""
    return GobEncodeError(f"{expected} is needed, not {type(value).__name__}")


def does_not_fit(number: int, go_type: str) -> GobEncodeError:
    """The error for an integer that is too large or too small."""
    size = number.bit_length()  # a huge one takes long to print, or cannot be
    return GobEncodeError(
        f"{number if size <= 128 else f'a number of {size} bits'} does not fit {go_type}"
    )


def encoding_failed(error: Exception, step: str) -> NoReturn:
    """Raise the error again as a GobEncodeError whose path begins with one more step."""
    if isinstance(error, MemoryError):
        raise error
    if not isinstance(error, GobEncodeError):
        raise GobEncodeError(_in_words(error), step) from error
    error.path = step + error.path
    raise error


def decoding_failed(error: Exception, step: str, offset: int) -> NoReturn:
    """Raise the error again as a GobDecodeError whose path begins with one more step."""
    if isinstance(error, MemoryError):
        raise error
    if not isinstance(error, GobDecodeError):
        raise GobDecodeError(_in_words(error), offset, step) from error
    error.path = step + error.path
    raise error


def _in_words(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply for this interpreter's recursion limit"
    return f"{type(error).__name__}: {error!s:.500}"
