"""What can be asked of the service and what it answers, with the limits of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from recbole_genrec.errors import InputError, check_number


@dataclass(frozen=True)
class Limits:
    """What the service takes at most, so that no request harms the others.

    Attributes:
        body: bytes of a request.
        histories: of a request.
        history: items of a history.
        allowed_items: of a request.
        top_k: items of a list.
        queue: histories that wait for the model.
        batch: histories that the model answers at a time; 1 for each request by itself.
        wait: seconds that a request waits for others to share its batch.
    """

    body: int = 1_000_000
    histories: int = 64
    history: int = 1_000
    allowed_items: int = 10_000
    top_k: int = 100
    queue: int = 1024
    batch: int = 64
    wait: float = 0.005


def _token(value: Any) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("expected an item token, text or an integer")


Token = Annotated[str, BeforeValidator(_token, json_schema_input_type=str | int)]
History = Annotated[list[Token], Field(description="Raw item tokens, oldest first.")]
EXAMPLE = ConfigDict(json_schema_extra={"example": {"history": ["50", "181", "172"], "top_k": 10}})


class Options(BaseModel):
    """What all questions have, as of `Recommender.recommend`."""

    model_config = ConfigDict(extra="forbid")

    top_k: int = Field(10, strict=True, description="Number of items of a list.")
    exclude_history: bool = Field(False, strict=True, description="List nothing of the history.")
    allowed_items: list[Token] | None = Field(None, description="List these items only.")
    unknown_items: Literal["error", "skip"] = Field(
        "error", description="'skip' drops from histories what the model does not know."
    )

    def options(self) -> dict[str, Any]:
        """The arguments of `Recommender.recommend` beside the histories."""
        return {name: getattr(self, name) for name in Options.model_fields}

    def check(self, histories: Sequence[Sequence[str]], limits: Limits) -> None:
        """Raise an InputError that names the limit beyond which the request goes, if any."""
        check_number("top_k", self.top_k, 1, limits.top_k)
        _check_length("histories", histories, limits.histories)
        for history in histories:
            _check_length("history", history, limits.history)
        _check_length("allowed_items", self.allowed_items or (), limits.allowed_items)


class Question(Options):
    """What comes after one history, or after each of several."""

    model_config = EXAMPLE

    history: History | None = None
    histories: list[History] | None = None

    def asked(self) -> list[list[str]]:
        """The histories, one or several.

        Raises:
            InputError: if there are none, or both forms.
        """
        given = [self.histories, None if self.history is None else [self.history]]
        asked = [each for each in given if each is not None]
        if len(asked) != 1 or not asked[0]:
            raise InputError(
                'expected {"history": ["token", ...]} or {"histories": [["token", ...], ...]}'
            )
        return asked[0]


class BeamQuestion(Options):
    """How the search for the list after a history goes."""

    model_config = EXAMPLE

    history: History


class Recommendation(BaseModel):
    """An item of a list; models whose scores are no log-probabilities give a score."""

    item: str
    title: str
    log_probability: float | None = None
    score: float | None = None
    semantic_id: list[int] | None = None


class Recommendations(BaseModel):
    """The list of a history, or of each of several, best first."""

    recommendations: list[Recommendation] | list[list[Recommendation]]


class Prefix(BaseModel):
    """The first codes of semantic IDs that a beam has kept."""

    codes: list[int]
    log_probability: float
    items: int = Field(description="Number of items whose semantic IDs begin with the codes.")


class Beam(BaseModel):
    """For each level the surviving prefixes, best first."""

    levels: list[list[Prefix]]


class FoundItem(BaseModel):
    """An item of the catalogue."""

    item: str
    title: str


class FoundItems(BaseModel):
    """Items that a search has found."""

    items: list[FoundItem]


class Health(BaseModel):
    """What runs."""

    status: Literal["ok"]
    model: str
    items: int
    beam: bool = Field(description="Whether the model searches by beam, which /beam shows.")
    waiting: int = Field(description="Histories that wait for the model.")


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    detail: str


def _check_length(name: str, values: Sequence, most: int) -> None:
    if len(values) > most:
        raise InputError(f"{name}: expected at most {most}, found {len(values)}")
