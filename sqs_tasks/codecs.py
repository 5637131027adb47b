"""How arguments become the text of a message, and the text becomes arguments again.

==================  =========================  =====================================================================
content type        codec                      text
==================  =========================  =====================================================================
``json``            `JSONCodec`                JSON, readable in the SQS console; see :mod:`sqs_tasks.wire.json_values`
``json+zlib``       `CompressedJSONCodec`      base64 of the same, compressed: for large bodies
``pickle``          `PickleCodec`              sqs-workers' format, Python's default pickle protocol
``pickle_compat``   `PickleCompatCodec`        the same with protocol 2
==================  =========================  =====================================================================

A producer may write any of them. Which of them a consumer reads is the consumer's own choice, and the pickles are not
among them unless it says so: **whoever can send to a queue whose consumer accepts pickle can run any code there.**

A codec of one's own is any object with a ``content_type``, ``serialize`` and ``deserialize``, registered with
`CodecRegistry.register`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, runtime_checkable

from sqs_tasks.errors import ConfigurationError, SerializationError, UndecodableMessageError, brief, nature
from sqs_tasks.limits import MAX_MESSAGE_BYTES
from sqs_tasks.wire.json_values import dumps, loads
from sqs_tasks.wire.registered_types import RegisteredTypes

#: What is written unless an environment, a queue or a send says otherwise. sqs-workers' default is ``pickle_compat``.
DEFAULT_CONTENT_TYPE: Final = "json"

#: The content types that a consumer decodes by default; pickle is never among them (fault W4).
SAFE_CONTENT_TYPES = frozenset({"json", "json+zlib"})

#: Bytes of JSON that a compressed body may inflate to; a message of 1 MiB can hold a gigabyte.
MAX_INFLATED_BYTES: Final = 16 * 1_048_576

#: Bytes that the values of a compressed body may take in memory, as far as they can be told before they are made. It
#: fits a function of 256 MB. A body that is not compressed cannot hold more, at the size that a message can have.
MAX_VALUE_BYTES: Final = 64 * 1_048_576

#: The same limit as the first for pickles, whose reader trusts their sender with more than memory.
MAX_INFLATED_PICKLE_BYTES: Final = 64 * 1_048_576

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


@runtime_checkable
class Codec(Protocol):
    """Turns values into text and back; named in each message by its content type."""

    content_type: str

    def serialize(self, value: Any, /) -> str:
        """The text that carries ``value``, of characters that SQS accepts.

        Raises:
            SerializationError: A part of the value cannot travel; the text names the part.
        """
        ...

    def deserialize(self, text: str, /) -> Any:
        """The value that ``text`` carries.

        Raises:
            UndecodableMessageError: For any text that this codec did not write, and nothing else.
        """
        ...


class _OnClassToo(Generic[_Argument, _Result]):
    """A method that can be called on the class as well, as those of sqs-workers: ``JSONCodec.serialize(value)``."""

    def __init__(self, function: Callable[[Any, _Argument], _Result]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, codec: Any, owner: type[Any]) -> Callable[[_Argument], _Result]:
        return MethodType(self._function, owner() if codec is None else codec)


class JSONCodec:
    """JSON that any reader can read, with dates, decimals, sets and more as tagged values.

    Args:
        types: The Enums and dataclasses that may travel; none unless given.
    """

    content_type: str = "json"

    def __init__(self, types: RegisteredTypes | None = None) -> None:
        self._types = types or RegisteredTypes()

    @_OnClassToo
    def serialize(self, value: Any) -> str:
        """The JSON text of ``value``; for plain data the same that ``json.dumps`` writes."""
        return dumps(value, self._types)

    @_OnClassToo
    def deserialize(self, text: str) -> Any:
        """The value of a JSON text, whoever wrote it."""
        return loads(text, self._types)


class CompressedJSONCodec:
    """Base64 of the zlib-compressed text of `JSONCodec`.

    Args:
        types: The Enums and dataclasses that may travel; none unless given.
        max_inflated_bytes: Longer texts are refused, when written as when read.
    """

    content_type: str = "json+zlib"

    def __init__(self, types: RegisteredTypes | None = None, *, max_inflated_bytes: int = MAX_INFLATED_BYTES) -> None:
        self._types = types or RegisteredTypes()
        self._max_inflated_bytes = max_inflated_bytes

    @_OnClassToo
    def serialize(self, value: Any) -> str:
        """The compressed JSON text of ``value``."""
        text = dumps(value, self._types)
        if not _fits(text):
            raise SerializationError(
                f"the arguments hold so many values that they take more than {MAX_VALUE_BYTES} bytes in memory; send "
                "fewer in one job, or store them elsewhere and send their address"
            )
        data = text.encode("ascii")
        return binascii.b2a_base64(_deflate(data, self._max_inflated_bytes), newline=False).decode("ascii")

    @_OnClassToo
    def deserialize(self, text: str) -> Any:
        """The value of a compressed JSON text."""
        try:
            data = inflate(_from_base64(text), self._max_inflated_bytes).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UndecodableMessageError(f"the inflated body is not UTF-8: {nature(error)}") from error
        check_values(data)
        return loads(data, self._types)


class PickleCodec:
    """Url-safe base64 of a zlib-compressed pickle, as sqs-workers writes it.

    Reading runs whatever code the pickle asks for; a consumer must have chosen it.

    Args:
        max_inflated_bytes: Longer pickles are refused, when written as when read.
    """

    content_type: str = "pickle"

    #: The pickle protocol that is written; None is Python's default. Every protocol is read.
    protocol: ClassVar[int | None] = None

    def __init__(self, *, max_inflated_bytes: int = MAX_INFLATED_PICKLE_BYTES) -> None:
        self._max_inflated_bytes = max_inflated_bytes

    @_OnClassToo
    def serialize(self, value: Any) -> str:
        """The pickled text of ``value``."""
        import pickle

        try:
            data = pickle.dumps(value, self.protocol)
        except Exception as error:
            raise SerializationError(f"{self._culprit(value)} cannot be pickled: {brief(error)}") from error
        encoded = binascii.b2a_base64(_deflate(data, self._max_inflated_bytes), newline=False).decode("ascii")
        return encoded.translate(_TO_URL_SAFE)

    @_OnClassToo
    def deserialize(self, text: str) -> Any:
        """The value of a pickled text. Only ever call this for a text that you trust as you trust your own code."""
        return unpickle(inflate(_from_base64(text), self._max_inflated_bytes))

    def _culprit(self, value: Any) -> str:
        """Pickle does not say where the trouble is; of a job's arguments we can at least find the one."""
        import pickle

        for name, argument in value.items() if isinstance(value, dict) else ():
            try:
                pickle.dumps(argument, self.protocol)
            except Exception:  # noqa: BLE001  reductions raise what they like
                return f"argument {name!r}: {type(argument).__qualname__}"
        return f"the value: {type(value).__qualname__}"


class PickleCompatCodec(PickleCodec):
    """The pickle that Python 2 could read, protocol 2: the default of sqs-workers."""

    content_type: str = "pickle_compat"
    protocol: ClassVar[int | None] = 2


class CodecRegistry:
    """The codecs and the types of one environment.

    It knows every codec that can be written. Which of them a consumer accepts is that consumer's allow-list.

    Attributes:
        types: The Enums and dataclasses that the JSON codecs carry.
    """

    def __init__(self) -> None:
        self.types = RegisteredTypes()
        self._codecs: dict[str, Codec] = {
            codec.content_type: codec
            for codec in (JSONCodec(self.types), CompressedJSONCodec(self.types), PickleCodec(), PickleCompatCodec())
        }
        #: Their ``deserialize`` by content type, looked up once and not for each message.
        self.deserializers: dict[str, Callable[[str], Any]] = {
            content_type: codec.deserialize for content_type, codec in self._codecs.items()
        }

    def register(self, codec: Codec, *, replace: bool = False) -> None:
        """Add a codec under its ``content_type``.

        Args:
            codec: The codec; an instance, or a class whose methods are class methods.
            replace: Take the place of the codec that has this content type now.

        Raises:
            ConfigurationError: The object is not a codec, or its content type is taken.
        """
        content_type = getattr(codec, "content_type", None)
        if not isinstance(codec, Codec) or not isinstance(content_type, str) or not content_type:
            raise ConfigurationError(
                f"{codec!r} is not a codec: it needs a content_type, a string that is not empty, "
                "and the methods serialize(value) and deserialize(text)"
            )
        if content_type in self._codecs and not replace:
            raise ConfigurationError(
                f"content type {content_type!r} already has the codec {self._codecs[content_type]!r}; "
                "choose another, or pass replace=True"
            )
        self._codecs[content_type] = codec
        self.deserializers[content_type] = codec.deserialize

    def register_type(self, cls: type[Any], name: str | None = None) -> None:
        """Let an Enum or a dataclass travel in JSON; see `RegisteredTypes.register`.

        Types that stand in the annotations of a task need no registration.
        """
        self.types.register(cls, name)

    def collect_types_of(self, function: Callable[..., Any]) -> None:
        """Let the Enums and dataclasses in the annotations of a function's parameters travel in JSON.

        The annotations are looked at when the first such value is sent or read.
        """

        def source() -> Iterator[type[Any]]:
            from sqs_tasks.wire.annotation_types import types_in_signature  # inspect is 10 ms; most messages are plain

            return types_in_signature(function)

        self.types.collect_from(source)

    def get(self, content_type: str) -> Codec:
        """The codec of a content type.

        Raises:
            ConfigurationError: There is none.
        """
        codec = self._codecs.get(content_type)
        if codec is None:
            raise ConfigurationError(f"no codec for content type {content_type!r}; there are {', '.join(self)}")
        return codec

    def __contains__(self, content_type: object) -> bool:
        return content_type in self._codecs

    def __iter__(self) -> Iterator[str]:
        """The content types, in the order of their registration."""
        return iter(self._codecs)


#: sqs-workers' table, here of codecs that know no Enums or dataclasses. An environment has its own registry.
CONTENT_TYPES_CODECS: Final[dict[str, Codec]] = {
    codec.content_type: codec for codec in (JSONCodec(), CompressedJSONCodec(), PickleCodec(), PickleCompatCodec())
}


def get_codec(content_type: str) -> Codec:
    """The built-in codec of a content type, by the name it has in sqs-workers.

    Raises:
        KeyError: There is none.
    """
    return CONTENT_TYPES_CODECS[content_type]


_TO_URL_SAFE: Final = str.maketrans("+/", "-_")
_FROM_URL_SAFE: Final = str.maketrans("-_", "+/")


def _deflate(data: bytes, max_bytes: int) -> bytes:
    import zlib

    if len(data) > max_bytes:
        raise SerializationError(
            f"the arguments are {len(data)} bytes before compression; at most {max_bytes} are read"
        )
    return zlib.compress(data)


def _from_base64(text: str) -> bytes:
    """The bytes of either alphabet's base64, of which nothing may be left out."""
    try:
        return binascii.a2b_base64(text.translate(_FROM_URL_SAFE), strict_mode=True)
    except ValueError as error:
        raise UndecodableMessageError(f"the body is not base64: {error}") from error


def inflate(data: bytes, max_bytes: int = MAX_INFLATED_BYTES) -> bytes:
    """The data that zlib compressed.

    Raises:
        UndecodableMessageError: It is not that, or is more than ``max_bytes``.
    """
    import zlib

    try:
        inflater = zlib.decompressobj()
        inflated = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise UndecodableMessageError(f"the body is not zlib data: {error}") from error
    if len(inflated) > max_bytes:
        raise UndecodableMessageError(f"the body inflates to more than {max_bytes} bytes")
    if not inflater.eof or inflater.unused_data:
        raise UndecodableMessageError("the zlib data in the body is truncated, or is followed by other data")
    return inflated


def check_values(text: str) -> None:
    """Refuse JSON that was compressed and holds more values than fit into memory (see ``MAX_VALUE_BYTES``).

    Raises:
        UndecodableMessageError: It does; nothing has been made of it.
    """
    if not _fits(text):
        raise UndecodableMessageError(f"the inflated body holds values of more than {MAX_VALUE_BYTES} bytes")


def _fits(text: str) -> bool:
    """Whether the values of a JSON text fit into memory: counted by the characters that begin or part them."""
    if len(text) <= MAX_MESSAGE_BYTES or _value_bytes(text) <= MAX_VALUE_BYTES:
        return True
    import re

    # Commas and brackets within texts are none. What is left open is a text too: the JSON is broken then.
    return _value_bytes(re.sub(r'"(?:[^"\\]++|\\.)*+(?:"|$)', '""', text, flags=re.DOTALL)) <= MAX_VALUE_BYTES


def _value_bytes(text: str) -> int:
    return len(text) + _CONTAINER_BYTES * (text.count("[") + text.count("{")) + _ITEM_BYTES * text.count(",")


#: What Python takes for an empty list or dictionary, and for a number with its place in one.
_CONTAINER_BYTES: Final = 64
_ITEM_BYTES: Final = 40


def unpickle(data: bytes) -> Any:
    """The value of a pickle, whose code runs here and now: for consumers that accept pickle, and for them only.

    Raises:
        UndecodableMessageError: It could not be loaded.
    """
    import pickle

    try:
        return pickle.loads(data)  # noqa: S301  the consumer opted in
    except Exception as error:
        raise UndecodableMessageError(f"not a readable pickle: {nature(error)}") from error
