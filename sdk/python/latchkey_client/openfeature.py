"""An OpenFeature provider that answers from the client's memory.

Needs the extra: `pip install latchkey-client[openfeature]`.

The evaluation context's targeting key is the user's id. A boolean flag is whether the feature is
open; a number is its limit (the default when it is unlimited); an object is its config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from latchkey_client.answers import Entitlement, Entitlements
from latchkey_client.client import Latchkey

FlagObject = Sequence[Any] | Mapping[str, Any]


class LatchkeyProvider(AbstractProvider):
    def __init__(self, client: Latchkey) -> None:
        super().__init__()
        self._client = client

    def get_metadata(self) -> Metadata:
        return Metadata(name="latchkey")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        answer = self._answer(evaluation_context)
        allowed = answer.allows(flag_key, datetime.now(UTC))
        return FlagResolutionDetails(
            allowed, reason=_reason(answer), variant="on" if allowed else "off"
        )

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        return self._value(flag_key, str, evaluation_context)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        answer, found = self._found(flag_key, evaluation_context)
        if found.value is None:
            return FlagResolutionDetails(default_value, reason=_reason(answer), variant="unlimited")
        return self._value(flag_key, int, evaluation_context)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        found = self.resolve_integer_details(flag_key, int(default_value), evaluation_context)
        return FlagResolutionDetails(float(found.value), reason=found.reason, variant=found.variant)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: FlagObject,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[FlagObject]:
        return self._value(flag_key, (dict, list), evaluation_context)

    def _value(
        self, flag_key: str, kinds: Any, context: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        answer, found = self._found(flag_key, context)
        if isinstance(found.value, bool) or not isinstance(found.value, kinds):
            raise TypeMismatchError(f"{flag_key} is {found.value!r}.")
        return FlagResolutionDetails(found.value, reason=_reason(answer))

    def _found(
        self, flag_key: str, context: EvaluationContext | None
    ) -> tuple[Entitlements, Entitlement]:
        answer = self._answer(context)
        found = answer.features.get(flag_key)
        if found is None or not answer.allows(flag_key, datetime.now(UTC)):
            raise FlagNotFoundError(f"{answer.user_id} has no {flag_key}.")
        return answer, found

    def _answer(self, context: EvaluationContext | None) -> Entitlements:
        if context is None or not context.targeting_key:
            raise TargetingKeyMissingError("The targeting key is the user's id.")
        return self._client.entitlements(context.targeting_key)


def _reason(answer: Entitlements) -> Reason:
    return Reason.CACHED if answer.stale else Reason.TARGETING_MATCH
