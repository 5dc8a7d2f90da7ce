"""People's words for recorded motion: what the labels of clips mean, and which frames show it (`wordings/clips`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache

from unipose.training.io import read_yaml
from unipose.training.named_poses.limbs import Array, Flags, Ranges, in_ranges, read_ranges
from unipose.training.named_poses.wordings import WORDINGS_FOLDER, PoseWordings, read_wordings


CLIPS_FILE = WORDINGS_FOLDER / "clips" / "clips.yaml"


@dataclass(frozen=True, eq=False)
class Activity:
    """What people do in some clips.

    Args:
        name: such as "salsa".
        labels: patterns of the labels of its clips, in lower case.
        ranges: measurement -> least and most, of the frames that show it.
        wordings: people's words for it.
    """

    name: str
    labels: tuple[str, ...]
    ranges: Ranges
    wordings: PoseWordings

    def fits(self, label: str) -> bool:
        """Whether clips with this label show the activity."""
        return any(fnmatch(label.lower(), pattern) for pattern in self.labels)

    def tells(self, measures: Mapping[str, Array]) -> Flags:
        """Which frames of its clips show the activity.

        Args:
            measures: of `captions.measures.measure`.
        """
        return in_ranges(self.ranges, measures)


@cache
def load_activities() -> tuple[Activity, ...]:
    """The activities of `CLIPS_FILE`.

    Raises:
        ValueError: an unknown kind or placeholder, or a wording that is no text.
    """
    activities = []
    for name, entry in read_yaml(CLIPS_FILE).items():
        kinds = {kind: texts for kind, texts in entry.items() if kind not in ("labels", "ranges")}
        wordings = read_wordings(f"{CLIPS_FILE.name}: {name}", kinds)
        activities.append(Activity(name, tuple(entry["labels"]), read_ranges(entry.get("ranges", {})), wordings))
    return tuple(activities)


def activity_of(label: str) -> Activity | None:
    """The first activity that fits the label of a clip; None where a single frame would not tell."""
    return next((activity for activity in load_activities() if activity.fits(label)), None)
