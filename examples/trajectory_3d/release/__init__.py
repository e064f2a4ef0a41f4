"""Making a trained run into the folder that ships: weights in half precision and a card of what they do."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from examples.trajectory_3d.release.build import ReleaseError, build_release
    from examples.trajectory_3d.release.card_text import render_card

__all__ = ["ReleaseError", "build_release", "render_card"]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "ReleaseError": "examples.trajectory_3d.release.build",
        "build_release": "examples.trajectory_3d.release.build",
        "render_card": "examples.trajectory_3d.release.card_text",
    },
)
