"""What visitors read where something went wrong, and what the log keeps: never their words."""

import logging
import traceback


logger = logging.getLogger("unipose.space")

UNEXPECTED = "Something went wrong here. Your pose is unchanged; please try it in other words, or a smaller file."


def explain(error: Exception) -> str:
    """The message for a visitor.

    Errors in the input explain themselves. Others may quote the input: the log gets their kind and place only.
    """
    if isinstance(error, ValueError):
        text = str(error).strip().rstrip(".") + "."
        # Names of files stay as they are.
        return text[:1].upper() + text[1:] if text.split()[0].isalpha() else text
    places = ", ".join(f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))
    logger.error("%s at %s", type(error).__name__, places)
    return UNEXPECTED
