"""The one place where errors of boto3 become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from storage.errors import (
    Conflict,
    FishladderError,
    InvalidRequest,
    NoRoom,
    NotFound,
    StoreUnavailable,
    TooLarge,
)

_BY_CODE: dict[str, type[FishladderError]] = {
    "NoSuchKey": NotFound,
    "NoSuchUpload": NotFound,
    "NotFound": NotFound,
    "404": NotFound,  # HEAD has no body that could say more
    "InvalidRange": InvalidRequest,
    "416": InvalidRequest,
    "InvalidPart": Conflict,
    "InvalidPartOrder": Conflict,
    "EntityTooSmall": Conflict,
    "EntityTooLarge": TooLarge,
    "QuotaExceeded": NoRoom,
    "InsufficientCapacity": NoRoom,
}
"""Everything else, refused credentials and a missing bucket included, is `StoreUnavailable`: an operator can mend it,
and no video should be given up for it."""


def error_of(code: str, key: str) -> FishladderError:
    """Our error for the S3 error ``code``."""
    kind = _BY_CODE.get(code, StoreUnavailable)
    sentence = {
        NotFound: "There is no such object.",
        InvalidRequest: "The object ends before the bytes you ask for.",
    }.get(kind, f"The object store answers {code}.")
    return kind(sentence, key=key, store_code=code)


@contextmanager
def translated(key: str, *, fine: tuple[str, ...] = ()) -> Iterator[None]:
    """Errors of the block about ``key`` become ours; S3 error codes that are ``fine`` are none."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code not in fine:
            raise error_of(code, key) from error
    except ParamValidationError:
        raise  # a bug of ours
    except (BotoCoreError, Boto3Error, HTTPError) as error:
        raise StoreUnavailable(f"The object store does not answer ({type(error).__name__}).", key=key) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom("The disk is full.", key=key) from error
        raise StoreUnavailable(f"The connection to the object store broke ({error.strerror}).", key=key) from error
