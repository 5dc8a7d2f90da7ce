"""What one visitor may send and keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of the Space.

    Args:
        upload_bytes: Size of an uploaded file; the server refuses larger ones with status 413.
        unpacked_bytes: Size of all entries of an uploaded archive (.npz) together, when they are unpacked.
        files: Number of files of one message.
        pixels: Pixels of an uploaded image.
        text_length: Characters of a message.
        answers: Number of poses to choose from.
        seconds: Time of one answer of the model; a text ends there, a pose is completed.
        queue_size: Number of requests that wait; others are told to come back later.
        turns: Number of turns of a conversation; older ones are forgotten.
        sessions: Number of conversations in memory; the oldest is forgotten first.
        kept_seconds: Time after which an unused conversation, uploads and written files are deleted.
    """

    upload_bytes: int = 8 * 2**20
    unpacked_bytes: int = 64 * 2**20
    files: int = 2
    pixels: int = 16_000_000
    text_length: int = 500
    answers: int = 4
    seconds: float = 20.0
    queue_size: int = 24
    turns: int = 60
    sessions: int = 200
    kept_seconds: int = 3600
