"""Values at the edge of what their types allow come back as they were, and are equal to no other."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import hashlib
import math
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from flyte_ray.errors import RuntimeDataValidationError
from flyte_ray.io import HashlibAccumulator
from tests.unit.test_types import codec_of, memory

BERLIN = ZoneInfo("Europe/Berlin")


@dataclass
class Artifact:
    """A user's own class that has all fields of a file."""

    path: str
    name: str
    format: str
    hash: str
    rows: int = 0


class Described(TypedDict):
    path: str
    name: str
    format: str
    hash: str


def there_and_back(annotation: Any, value: Any) -> Any:
    codec, blobs = codec_of(annotation), memory()
    back = codec.decode_inputs(codec.encode_inputs({"x": value}, blobs).text, blobs)["x"]
    assert [codec.decode_output(codec.encode_output(value, blobs), blobs)] == [back]  # NaN is itself
    return back


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
        dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
        dt.datetime(2026, 10, 25, 2, 30, fold=1),
        dt.datetime(1850, 1, 1, tzinfo=BERLIN),
        dt.datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")),
        dt.datetime.max.replace(tzinfo=ZoneInfo("America/New_York")),
    ],
    ids=["skipped_by_clocks", "first", "second", "naive_second", "before_zones", "earliest", "latest"],
)
def test_a_moment_comes_back_as_clocks_show_it(moment: dt.datetime) -> None:
    for annotation in (dt.datetime, Any):
        back = there_and_back(annotation, moment)
        assert (repr(back), back.utcoffset()) == (repr(moment), moment.utcoffset())


def test_a_time_of_day_keeps_whether_it_is_the_second_one() -> None:
    assert there_and_back(dt.time, dt.time(2, 30, fold=1)).fold == 1


@given(st.text(st.characters(), max_size=20))
def test_any_text_comes_back(text: str) -> None:
    assert there_and_back(str, text) == text
    assert there_and_back(dict[str, Any], {text: [text]}) == {text: [text]}


def test_half_a_surrogate_pair_is_another_text_than_what_stands_for_it_in_json() -> None:
    codec = codec_of(str)
    digests = {codec.encode_inputs({"x": text}, memory()).digest for text in ("\udc80", "\\udc80", "?")}
    assert len(digests) == 3
    large = "\udc80" * 100_000
    assert there_and_back(str, large) == large


def test_a_number_with_too_many_digits_is_refused_with_what_it_belongs_to() -> None:
    large = 10**5000
    for annotation, value in ((int, large), (list[int], [large]), (Any, {"a": large})):
        with pytest.raises(TypeError, match=r"^Task 'env\.f', parameter 'x': whole numbers are stored with at most 4,"):
            codec_of(annotation).encode_inputs({"x": value}, memory())
        with pytest.raises(RuntimeDataValidationError, match="whole numbers are stored with at most 4,300 digits"):
            codec_of(annotation).encode_output(value, memory())


class Base(BaseModel):
    x: int = 1


class Derived(Base):
    y: int = 2


class Renamed(BaseModel):
    model_config = ConfigDict(frozen=True)
    own: int = Field(alias="theirs")


class Doubling(BaseModel):
    """Would be another value each time that it is validated."""

    value: int
    hidden: str = Field(default="", exclude=True)
    _seen: int = PrivateAttr(default=0)

    @field_validator("value")
    @classmethod
    def double(cls, value: int) -> int:
        return value * 2

    def model_post_init(self, context: Any, /) -> None:
        self._seen = self.value
        self.hidden += "!"


class Open(BaseModel, extra="allow"):
    any: Any = None
    base: Base = Base()
    at: dt.datetime | None = None
    ratio: float = 0.0
    inner: list[Open] = []


@pytest.mark.parametrize(
    "model",
    [
        Renamed(theirs=3),
        Doubling(value=2),
        Open(base=Derived()),
        Open(any=(1, {dt.date(2026, 1, 2)}, Derived(), 1.0, True)),
        Open.model_validate({"more": (1, 2), "day": dt.date(2026, 1, 2)}),
        Open(at=dt.datetime(2026, 1, 2, tzinfo=BERLIN)),
        Open(any=b"\xff", inner=[Open(any="\udc80"), Open()]),
        Base.model_construct(x=None),
    ],
    ids=["alias", "validator", "subclass", "any", "extra", "time_zone", "no_json", "against_its_annotation"],
)
def test_a_model_comes_back_with_the_fields_that_it_had(model: BaseModel) -> None:
    for annotation in (type(model), list[BaseModel]):
        given = model if annotation is type(model) else [model]
        back = there_and_back(annotation, given)
        assert (back, repr(back)) == (given, repr(given))


@pytest.mark.filterwarnings("ignore:Values of type deque")
@dataclass
class Counted:
    """Its own `__init__` changes what it is given."""

    value: int

    def __init__(self, value: int) -> None:
        self.value = value + 1


class Ratio(float, enum.Enum):
    HALF = 0.5
    UNKNOWN = math.nan


@pytest.mark.filterwarnings("ignore:Values of type deque")
def test_what_is_made_in_a_way_of_its_own_comes_back_as_it_was() -> None:
    assert there_and_back(Counted, Counted(1)) == Counted(1)
    assert [there_and_back(Ratio, each) for each in Ratio] == list(Ratio)
    assert there_and_back(collections.deque[int], collections.deque([1], maxlen=3)).maxlen == 3


@pytest.mark.filterwarnings("ignore:Values of type deque")
def test_what_pydantic_checks_comes_back_as_without_the_check() -> None:
    moment = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)
    checked = Annotated[dt.datetime, Field(gt=dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))]
    assert repr(there_and_back(checked, moment)) == repr(moment)
    assert there_and_back(Annotated[bytes | None, Field(max_length=3)], None) is None
    sets = collections.deque([{1}])
    assert there_and_back(Annotated[collections.deque[Any], Field(max_length=3)], sets) == sets


def test_a_model_whose_json_says_all_is_stored_as_that() -> None:
    text = codec_of(Derived).encode_output(Derived(y=3), memory())
    assert text == '{"x":1,"y":3}'


def alike(**fields: Any) -> dict[str, Any]:
    return {"path": "s3://bucket/a", "name": "a", "format": "csv", "hash": "h", **fields}


@pytest.mark.parametrize(
    ("annotation", "left", "right"),
    [
        (dict[str, Any], alike(path="a.csv"), alike(path="b.csv")),
        (dict[str, Any], alike(), alike(path="s3://bucket/b")),
        (dict[str, str], alike(), alike(path="s3://bucket/b")),
        (dict[str, Any], alike(hash=5), alike(hash=6)),
        (dict[str, Any], alike(path="run:a", rows=1), alike(path="run:a", rows=2)),
        (Any, [alike()], [alike(name="b")]),
        (Described, alike(), alike(path="s3://bucket/b")),
        (Artifact, Artifact(**alike()), Artifact(**alike(path="s3://bucket/b"))),
        (Artifact, Artifact(**alike(), rows=1), Artifact(**alike(), rows=2)),
    ],
    ids=str,
)
def test_what_looks_like_a_file_and_is_none_is_told_apart_by_all_it_holds(
    annotation: Any, left: Any, right: Any
) -> None:
    assert (there_and_back(annotation, left), there_and_back(annotation, right)) == (left, right)
    codec = codec_of(annotation)
    first, again, other = (codec.encode_inputs({"x": each}, memory()).digest for each in (left, left, right))
    assert first == again
    assert first != other


def test_the_order_of_an_ordered_dict_counts_and_that_of_a_dict_does_not() -> None:
    ordered = collections.OrderedDict
    for annotation, kind, many in (
        (ordered[str | tuple[int, int] | None, int], ordered, 2),
        (Any, ordered, 2),
        (ordered[Any, int], ordered, 2),
        (dict[Any, int], dict, 1),
        (Any, dict, 1),
    ):
        for key in ("a", (1, 2)):
            values = [kind([(key, 1), (None, 2)]), kind([(None, 2), (key, 1)])]
            assert [there_and_back(annotation, value) for value in values] == values
            found = {codec_of(annotation).encode_inputs({"x": value}, memory()).digest for value in values}
            assert len(found) == many


def test_one_hash_of_hashlib_serves_many_values() -> None:
    method = HashlibAccumulator(hashlib.sha256(b"salt"))
    codec = codec_of(Annotated[bytes, method])
    texts = [codec.encode_inputs({"x": value}, memory()).text for value in (b"a", b"b", b"a")]
    assert texts[0] == texts[2] != texts[1]
    assert hashlib.sha256(b"salta").hexdigest() in texts[0]
