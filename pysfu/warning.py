"""What works, but not as well as it could: as values, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pysfu import messages

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EngineWarning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWarning:
    """One thing that does not work as well as it could.

    Args:
        code: a stable word for it.
        text: what it means.
        remedy: a command for the operator, where there is one.
        worker: which worker it concerns; None for all.
        figures: the numbers in it.
    """

    code: str
    text: str
    remedy: str | None = None
    worker: int | None = None
    figures: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text


def of(message: messages.AnyWarning, *, worker: int | None = None) -> EngineWarning:
    """Turns the engine's form into ours."""
    figures = {name: getattr(message, name) for name in message.__struct_fields__}
    code = str(message.__struct_config__.tag)
    text, remedy = _describe(message)
    return EngineWarning(code=code, text=text, remedy=remedy, worker=worker, figures=figures)


def _describe(message: messages.AnyWarning) -> tuple[str, str | None]:
    match message:
        case messages.ReceiveBufferCapped(wanted=wanted):
            return "the kernel caps the receive buffer, so bursts are lost", f"sysctl -w net.core.rmem_max={wanted}"
        case messages.SendBufferCapped(wanted=wanted):
            return "the kernel caps the send buffer, so bursts are lost", f"sysctl -w net.core.wmem_max={wanted}"
        case messages.NoSegmentation():
            return "this kernel has no UDP segmentation offload: sending costs several times more", None
        case messages.FamilyMissing(ip_version=version):
            return f"this host has no IPv{version}", None
        case messages.NotPinned(processor=processor):
            return f"the worker may not stay on processor {processor}", None
        case messages.ReceiveFailed(errno=errno):
            return f"a media port cannot be read (errno {errno})", None
